// The structure of the network: a tree that folds, walked by the arrow keys.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { words } from "../explorer_strings";
import type { Node } from "../explorer_wire";
import { memo } from "../memo";
import { afterKey, folded, reveal, rows } from "./branches";
import { useExplorer } from "./contract";

type Column = keyof typeof words.columns;

const share = (part: number): string => `${part >= 0.1 ? Math.round(100 * part) : (100 * part).toFixed(1)} %`;

/** All that is known of a layer, in one line. */
export const lineOf = (node: Node): string =>
  [node.kind, node.shape, node.params && words.parameters(node.params), node.macs && words.macs(node.macs, share(node.share)), node.dead_text, node.reason].filter(Boolean).join(" · ");

const cellOf = (node: Node, column: Column): string =>
  column === "dead" ? (node.dead_text || (node.dead === null || node.container ? "" : "–")) : node[column];

interface RowProps {
  node: Node;
  column: Column;
  chosen: boolean;
  current: boolean;
  open: boolean;
  onPress: (node: Node, fold: boolean) => void;
}

const Row = memo(function Row({ node, column, chosen, current, open, onPress }: RowProps) {
  const dead = (node.dead ?? 0) > 0;
  const shown = cellOf(node, column);
  return (
    <div role="treeitem" class={`node${node.views.length ? "" : " mute"}`} aria-level={node.depth + 1} aria-selected={chosen} aria-expanded={node.container ? open : undefined}
      tabIndex={current ? 0 : -1} title={`${node.path}\n${lineOf(node)}`} data-nnw-layer={node.id}
      style={{ "--depth": node.depth, "--share": column === "macs" ? `${(100 * node.share).toFixed(1)}%` : "0%" }} onClick={() => onPress(node, false)}>
      <span class={node.container ? "fold" : "leaf"} aria-hidden="true" onClick={(event) => {
        if (!node.container) return;
        event.stopPropagation();
        onPress(node, true);
      }} />
      <span class="who">{node.name}</span>
      {node.call > 0 && <span class="call">#{node.call}</span>}
      {dead && column !== "dead" && <span class="dead r-warn">{node.dead_text}</span>}
      <span class={dead && column === "dead" ? "what r-warn" : "what"}>{shown}</span>
      <span class="hidden">{lineOf(node)}</span>
    </div>
  );
});

export const Tree = memo(function Tree({ nodes, layer, busy, onLayer }: { nodes: readonly Node[]; layer: string; busy: boolean; onLayer: (id: string) => void }) {
  const store = useExplorer();
  const names = nodes.map((node) => node.id).join("\n");
  const [closed, setClosed] = useState<ReadonlySet<string>>(() => folded(nodes, layer));
  const [current, setCurrent] = useState(layer);
  const [column, setColumn] = useState<Column>("shape");
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => setClosed(folded(nodes, layer)), [names]);
  useEffect(() => {
    setCurrent(layer);
    setClosed((old) => reveal(nodes, old, layer));
  }, [layer, names]);
  const shown = useMemo(() => rows(nodes, closed), [nodes, closed]);
  const chosen = nodes.find((node) => node.id === layer);
  const here = shown.some((i) => nodes[i]!.id === current) ? current : (nodes[shown[0] ?? 0]?.id ?? "");
  const find = (id: string): HTMLElement | undefined => [...(list.current?.querySelectorAll<HTMLElement>("[role=treeitem]") ?? [])].find((each) => each.dataset["nnwLayer"] === id);
  useEffect(() => {
    const [row, box] = [find(layer), list.current];
    if (row && box && (row.offsetTop < box.scrollTop || row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight)) box.scrollTop = row.offsetTop - box.clientHeight / 2;
  }, [layer, closed]);
  const fold = (id: string, shut: boolean): void => setClosed((old) => {
    const next = new Set(old);
    if (shut) next.add(id);
    else next.delete(id);
    return next;
  });
  const choose = (node: Node): void => {
    if (node.views.length) onLayer(node.id);
    else if (node.container) fold(node.id, !closed.has(node.id));
    else store.say(node.reason);
  };
  const press = useRef<RowProps["onPress"]>(() => {});
  press.current = (node, folding) => {
    setCurrent(node.id);
    find(node.id)?.focus({ preventScroll: true });
    if (folding) fold(node.id, !closed.has(node.id));
    else choose(node);
  };
  const [onPress] = useState(() => (node: Node, folding: boolean): void => press.current(node, folding));
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = nodes.find((each) => each.id === here);
    if ((event.key === "Enter" || event.key === " ") && node) choose(node);
    else {
      const move = afterKey(event.key, nodes, closed, here);
      if (!move) return;
      if (move.open) fold(move.open, false);
      if (move.close) fold(move.close, true);
      if (move.to !== undefined) {
        setCurrent(move.to);
        const row = find(move.to);
        row?.focus({ preventScroll: true });
        row?.scrollIntoView({ block: "nearest" });
      }
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <section class="card structure" aria-label={words.structure}>
      <div class="row head"><span class="name"><h3>{words.structure}</h3><HelpButton control="layer" label={words.structure} /></span>
        <select class="beside" aria-label={words.beside} value={column} onChange={(event) => setColumn(event.currentTarget.value as Column)}>
          {Object.entries(words.columns).map(([name, label]) => <option key={name} value={name}>{label}</option>)}
        </select>
      </div>
      {nodes.length === 0 ? <p class="cap">{words.noLayers}</p> : (
        <div class="tree" role="tree" aria-label={words.structure} data-nnw-control="layer" ref={list} onKeyDown={onKey}>
          {shown.map((i) => {
            const node = nodes[i]!;
            return <Row key={node.id} node={node} column={column} chosen={node.id === layer} current={node.id === here} open={!closed.has(node.id)} onPress={onPress} />;
          })}
        </div>
      )}
      <p class="cap about">{chosen ? <><b>{chosen.path || chosen.name}</b> {lineOf(chosen)}</> : null}</p>
      <CommandButton command="measure" className="link" disabled={busy}>{words.measure}</CommandButton>
    </section>
  );
});
