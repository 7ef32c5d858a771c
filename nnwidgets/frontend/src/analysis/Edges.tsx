// The lines between the boxes, behind them.
import { words } from "../analysis_strings";
import type { Flow, FlowEdge } from "../analysis_wire";
import { rounded, route, ruleOf, type Placed, type Point, type Rect, type Rule } from "./geometry";

interface Props {
  flow: Flow;
  places: ReadonlyMap<string, Rect>;
  em: number;
  aside: boolean; // the branches stand side by side; else only lines inside a branch make sense
}

const LAYERS: FlowEdge["state"][] = ["off", "undecided", "lit"]; // the live way is drawn over what it shares with others

interface Drawn {
  edge: FlowEdge;
  rule: Rule;
  points: Point[];
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
    return aside || rule === "tree" ? [{ edge, rule, points: route(from, to, em) }] : [];
  });
}

const onSpine = ({ rule }: Drawn): boolean => rule === "tree" || rule === "bus";

/** Dots between the dashes of the same spine would make it look unbroken: where another edge goes as far, they begin beside it. */
function beside(one: Drawn, all: readonly Drawn[]): Drawn {
  const goesAsFar = (other: Drawn): boolean =>
    onSpine(other) && !other.edge.extension && other.edge.from === one.edge.from && other.points[1]![1] >= one.points[1]![1];
  return one.edge.extension && onSpine(one) && all.some(goesAsFar) ? { ...one, points: one.points.slice(1) } : one;
}

/** What lies below comes first: lines to the boxes below both branches, of these the dotted, then the live way last. */
const height = ({ edge, rule }: Drawn): number => LAYERS.indexOf(edge.state) + (rule === "bus" ? 0 : 20) + (edge.extension ? 0 : 10);

/** Along the upright part of the edge, in the gap between the columns. */
function Words({ points, em }: { points: Point[]; em: number }) {
  const [[, from], [x], [, to]] = [points[0]!, points[1]!, points[2]!];
  const at = `translate(${x - 0.55 * em} ${(from + to) / 2}) rotate(-90)`;
  return <text class="r-muted" text-anchor="middle" transform={at}>{words.extension}</text>;
}

function Edge({ drawn: { edge, rule, points }, em }: { drawn: Drawn; em: number }) {
  const d = rounded(points, 0.6 * em);
  const covers = rule === "bus" && edge.state !== "off" && !edge.extension; // two lines of dashes over each other would look unbroken
  const kind = `${edge.extension ? " extension" : ""}${rule === "across" ? " named" : ""}`;
  return (
    <>
      {covers && <path class="edge casing" d={d} />}
      <path class={`edge ${edge.state}${kind}`} d={d} data-nnw-edge={`${edge.from} ${edge.to}`} data-nnw-state={edge.state} />
    </>
  );
}

export function Edges(props: Props) {
  const all = drawnOf(props);
  const drawn = all.map((one) => beside(one, all)).sort((a, b) => height(a) - height(b));
  return (
    <svg class="edges" aria-hidden="true">
      {drawn.map((each) => <Edge key={`${each.edge.from} ${each.edge.to}`} drawn={each} em={props.em} />)}
      {drawn.filter(({ edge, rule }) => edge.extension && rule === "across").map(({ edge, points }) => <Words key={edge.from} points={points} em={props.em} />)}
    </svg>
  );
}
