// The lines between the boxes, behind them.
import { words } from "../analysis_strings";
import type { Flow, FlowEdge } from "../analysis_wire";
import { rounded, route, ruleOf, type Placed, type Point, type Rect } from "./geometry";

interface Props {
  flow: Flow;
  places: ReadonlyMap<string, Rect>;
  em: number;
  aside: boolean; // the branches stand side by side; else only lines inside a branch make sense
}

const LAYERS: FlowEdge["state"][] = ["off", "undecided", "lit"]; // the live way is drawn over what it shares with others

interface Drawn {
  edge: FlowEdge;
  points: Point[];
  labelled: boolean;
}

function drawnOf({ flow, places, em, aside }: Props): Drawn[] {
  const columns = new Map(flow.nodes.map((node) => [node.id, node]));
  const placed = (id: string): Placed | null => {
    const [rect, node] = [places.get(id), columns.get(id)];
    return rect && node ? { rect, column: node.column } : null;
  };
  return flow.edges.flatMap((edge) => {
    const [from, to] = [placed(edge.from), placed(edge.to)];
    if (!from || !to) return [];
    const rule = ruleOf(from, to);
    if (!aside && rule !== "tree") return [];
    return [{ edge, points: route(from, to, em), labelled: edge.extension && rule === "across" }];
  });
}

/** Beside the first corner, in the gap between the columns: on the way from left to right or back. */
function Words({ points, em }: { points: Point[]; em: number }) {
  const [[x, y], [turn]] = [points[0]!, points[1]!];
  const rightwards = turn > x;
  return (
    <text class="r-muted" text-anchor={rightwards ? "start" : "end"}>
      {words.extensionLines.map((line, i) => <tspan key={line} x={x + (rightwards ? 1 : -1) * em} y={y + (1.25 + 1.2 * i) * em}>{line}</tspan>)}
    </text>
  );
}

function Edge({ edge, d, named }: { edge: FlowEdge; d: string; named: boolean }) {
  // Dashes over another line would look like no dashes: what lies below is covered first
  const covers = edge.state !== "off" && !edge.extension;
  return (
    <>
      {covers && <path class="edge casing" d={d} />}
      <path class={`edge ${edge.state}${edge.extension ? " extension" : ""}${named ? " named" : ""}`} d={d} data-nnw-edge={`${edge.from} ${edge.to}`} data-nnw-state={edge.state} />
    </>
  );
}

export function Edges(props: Props) {
  const height = ({ edge }: Drawn): number => LAYERS.indexOf(edge.state) + (edge.extension ? 0 : LAYERS.length);
  const drawn = drawnOf(props).sort((a, b) => height(a) - height(b));
  return (
    <svg class="edges" aria-hidden="true">
      {drawn.map(({ edge, points, labelled }) => <Edge key={`${edge.from} ${edge.to}`} edge={edge} d={rounded(points, 0.6 * props.em)} named={labelled} />)}
      {drawn.filter((each) => each.labelled).map(({ edge, points }) => <Words key={edge.from} points={points} em={props.em} />)}
    </svg>
  );
}
