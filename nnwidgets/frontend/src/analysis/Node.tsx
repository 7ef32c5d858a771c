// One box of the flowchart.
import { words } from "../analysis_strings";
import type { FlowNode } from "../analysis_wire";
import { Badge } from "./Badge";

interface Props {
  node: FlowNode;
  selected: boolean;
  reachable: boolean; // the one box that Tab comes to
  onSelect: (id: string, pointed: boolean) => void;
}

function Line({ node }: { node: FlowNode }) {
  if (node.busy) return <span class="badge r-accent"><i class="turning" aria-hidden="true" /><b>{words.testing}</b></span>;
  if (node.badge) return <Badge badge={node.badge} cost={node.cost} text={node.badge === "hidden" ? "" : node.text} />;
  return node.text ? <span class="badge r-muted">{node.text}</span> : null;
}

export function Node({ node, selected, reachable, onSelect }: Props) {
  const extra = node.extension ? " extension" : "";
  return (
    <button type="button" class={`box ${node.kind} ${node.state}${extra}`} tabIndex={reachable ? 0 : -1}
      aria-pressed={selected} aria-current={selected ? "true" : undefined}
      data-nnw-node={node.id} data-nnw-state={node.state} aria-busy={node.busy} onClick={(event) => onSelect(node.id, event.detail > 0)}>
      <span class="name">{node.title}</span>
      {node.state === "undecided" && <span class="hidden">, {words.undecided}</span>}
      {node.state === "lit" && <span class="hidden">, {words.onTheWay}</span>}
      {node.place > 0 && <span class="place"><span aria-hidden="true">{node.place}</span><span class="hidden">{words.placeSaid(node.place)}</span></span>}
      <Line node={node} />
      {node.extension && <span class="added">{words.extension}</span>}
    </button>
  );
}
