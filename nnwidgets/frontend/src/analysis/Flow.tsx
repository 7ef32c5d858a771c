// The lecture's flowchart: boxes in columns, lines behind them, one stop of Tab, arrow keys between the boxes.
import { useRef, useState } from "preact/hooks";
import { words } from "../analysis_strings";
import type { Flow, FlowNode } from "../analysis_wire";
import { useBox } from "../chart/useBox";
import { useAnalysis } from "./contract";
import { Edges } from "./Edges";
import { isDirection, neighbour } from "./geometry";
import { Node } from "./Node";
import { usePlaces } from "./usePlaces";

const ASIDE = 42; // em: from here on the branches stand side by side

type Draw = (node: FlowNode) => preact.ComponentChild;

/** The boxes of one branch; those of the data inside a frame, below the box that names them. */
function Stack({ column, nodes, draw }: { column: "train" | "test"; nodes: readonly FlowNode[]; draw: Draw }) {
  const data = nodes.filter((node) => node.column === "data");
  const heads = (node: FlowNode): boolean => node.kind === "group" && node.column !== "test";
  const own = nodes.filter((node) => node.column === column && !heads(node));
  const head = nodes.find(heads);
  const framed = column === "train" && data.length > 0;
  return (
    <div class={`stack ${own[0]?.state ?? ""}`} role="group" aria-label={words.columns[column]}>
      {own.map(draw)}
      {framed && <div class="frame-data">{head && draw(head)}{data.map(draw)}</div>}
    </div>
  );
}

/** In one column what is known of a box stands far below it: a click brings it into sight, keys stay where they are. */
function bringDetail(flow: HTMLElement): void {
  const detail = flow.closest("[data-nnw]")?.querySelector("[data-nnw-detail]");
  if (detail && detail.getBoundingClientRect().top >= flow.getBoundingClientRect().bottom) detail.scrollIntoView({ block: "center" });
}

function Boxes({ nodes, draw }: { nodes: readonly FlowNode[]; draw: Draw }) {
  const of = (column: FlowNode["column"]): FlowNode[] => nodes.filter((node) => node.column === column);
  const both = of("both");
  return (
    <>
      <div class="tops">{of("top").map(draw)}</div>
      <Stack column="train" nodes={nodes} draw={draw} />
      <Stack column="test" nodes={nodes} draw={draw} />
      {both.length > 0 && <div class={both.length > 1 ? "boths two" : "boths"} role="group" aria-label={words.columns.both}>{both.map(draw)}</div>}
    </>
  );
}

export function FlowChart({ flow }: { flow: Flow }) {
  const store = useAnalysis();
  const root = useRef<HTMLDivElement>(null);
  const [box, size] = useBox();
  const [last, setLast] = useState(""); // where the keyboard was
  const aside = size !== null && size.width / size.em >= ASIDE;
  const places = usePlaces(root, `${aside} ${size?.em} ${flow.nodes.map((node) => `${node.id} ${node.column}`).join()}`);
  const selected = store.value("selected", "");
  const has = (id: string): boolean => flow.nodes.some((node) => node.id === id);
  const stop = has(last) ? last : has(selected) ? selected : (flow.nodes[0]?.id ?? "");
  const select = (id: string, pointed: boolean): void => {
    setLast(id);
    store.set("selected", id);
    if (pointed && root.current) bringDetail(root.current);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const node = flow.nodes.find((each) => each.id === stop);
    if (isDirection(event.key)) go(neighbour(stop, places, event.key));
    else if (event.key === "Home") go(flow.nodes[0]?.id ?? "");
    else if (event.key === "End") go(flow.nodes[flow.nodes.length - 1]?.id ?? "");
    else if (event.key.toLowerCase() === "t" && node?.badge) store.command("run_leaf", { leaf: stop }, { key: `run_leaf ${stop}` });
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const go = (id: string): void => {
    setLast(id);
    root.current?.querySelector<HTMLElement>(`[data-nnw-node="${CSS.escape(id)}"]`)?.focus();
  };
  const onFocus = (event: FocusEvent): void => {
    const id = (event.target as HTMLElement).dataset["nnwNode"];
    if (id) setLast(id);
  };
  const draw = (node: FlowNode) => <Node key={node.id} node={node} selected={node.id === selected} reachable={node.id === stop} onSelect={select} />;
  return (
    <section class="flowing" aria-label={words.flowchart}>
      <p class="sentence" data-nnw-sentence="">{flow.sentence}</p>
      <div ref={box}>
        <div ref={root} class={aside ? "flow aside" : "flow"} role="group" aria-label={words.flowchart} data-nnw-chart="flowchart"
          onKeyDown={onKey} onFocusIn={onFocus}>
          {size && <Edges flow={flow} places={places} em={size.em} aside={aside} />}
          <Boxes nodes={flow.nodes} draw={draw} />
        </div>
      </div>
    </section>
  );
}
