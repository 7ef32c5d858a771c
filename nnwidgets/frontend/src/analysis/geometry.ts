// Where the edges of the flowchart run, and which box an arrow key leads to. Pure: boxes in pixels, y down.
import type { FlowNode } from "../analysis_wire";

export interface Rect {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export interface Placed {
  rect: Rect;
  column: FlowNode["column"];
}

export type Point = [number, number];

const middleX = (r: Rect): number => (r.left + r.right) / 2;
const middleY = (r: Rect): number => (r.top + r.bottom) / 2;

/** The boxes that stand under each other: those of the data stand under the branch of E_train. */
const stackOf = (column: Placed["column"]): Placed["column"] => (column === "data" ? "train" : column);

export type Rule = "beside" | "down" | "tree" | "bus" | "across";

export function ruleOf(from: Placed, to: Placed): Rule {
  const [a, b] = [stackOf(from.column), stackOf(to.column)];
  if (a === "top" && b === "top") return "beside";
  if (a === "top") return "down";
  if (b === "both") return "bus";
  return a === b ? "tree" : "across";
}

/** From the side of one box to the facing side of the other; `near` is how far from the second the step between their heights is. */
function across(a: Rect, b: Rect, near: number): Point[] {
  const right = middleX(b) >= middleX(a);
  const [x, end] = right ? [a.right, b.left] : [a.left, b.right];
  const turn = end + (right ? -near : near);
  return [[x, middleY(a)], [turn, middleY(a)], [turn, middleY(b)], [end, middleY(b)]];
}

/** The corners of an edge; `em` is the size of type. */
export function route(from: Placed, to: Placed, em: number): Point[] {
  const [a, b] = [from.rect, to.rect];
  const spine = a.left + 0.85 * em;
  switch (ruleOf(from, to)) {
    case "beside": return across(a, b, Math.abs(b.left - a.right) / 2);
    case "down": return [[middleX(a), a.bottom], [middleX(a), (a.bottom + b.top) / 2], [middleX(b), (a.bottom + b.top) / 2], [middleX(b), b.top]];
    case "tree": return [[spine, a.bottom], [spine, middleY(b)], [b.left, middleY(b)]];
    case "bus": return [[spine, a.bottom], [spine, b.top - 0.9 * em], [middleX(b), b.top - 0.9 * em], [middleX(b), b.top]];
    case "across": return across(a, b, 2.6 * em); // outside the column, leaves are set in by 1.8
  }
}

/** An SVG path through the corners, rounded. */
export function rounded(points: readonly Point[], radius: number): string {
  const kept = points.filter((p, i) => i === 0 || p[0] !== points[i - 1]![0] || p[1] !== points[i - 1]![1]);
  return kept
    .map((p, i) => {
      const [before, after] = [kept[i - 1], kept[i + 1]];
      if (!before || !after) return `${i === 0 ? "M" : "L"}${p[0]} ${p[1]}`;
      const r = Math.min(radius, distance(before, p) / 2, distance(p, after) / 2);
      const [from, to] = [towards(p, before, r), towards(p, after, r)];
      return `L${from[0]} ${from[1]}Q${p[0]} ${p[1]} ${to[0]} ${to[1]}`;
    })
    .join("");
}

const distance = (a: Point, b: Point): number => Math.hypot(a[0] - b[0], a[1] - b[1]);

function towards(from: Point, to: Point, by: number): Point {
  const whole = distance(from, to) || 1;
  const at = (i: 0 | 1): number => Number((from[i] + ((to[i] - from[i]) * by) / whole).toFixed(2));
  return [at(0), at(1)];
}

export type Direction = "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight";

export const isDirection = (key: string): key is Direction => ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(key);

/** How far apart two spans are; 0 where they overlap. */
const apart = (a0: number, a1: number, b0: number, b1: number): number => Math.max(0, b0 - a1, a0 - b1);

/** What it costs to go there, or null where it is not in that direction. */
function cost(a: Rect, b: Rect, direction: Direction): number | null {
  const upright = direction === "ArrowUp" || direction === "ArrowDown";
  const sign = direction === "ArrowDown" || direction === "ArrowRight" ? 1 : -1;
  const along = sign * (upright ? middleY(b) - middleY(a) : middleX(b) - middleX(a));
  const aside = upright ? apart(a.left, a.right, b.left, b.right) : apart(a.top, a.bottom, b.top, b.bottom);
  const free = upright ? apart(a.top, a.bottom, b.top, b.bottom) : apart(a.left, a.right, b.left, b.right);
  if (along <= 1 || (free === 0 && aside > 0)) return null; // beside it, not beyond it
  return along + 4 * aside;
}

/** The nearest box in a direction; the same one at an end. */
export function neighbour(id: string, places: ReadonlyMap<string, Rect>, direction: Direction): string {
  const from = places.get(id);
  if (!from) return id;
  let [best, least] = [id, Number.POSITIVE_INFINITY];
  for (const [other, rect] of places) {
    const price = other === id ? null : cost(from, rect, direction);
    if (price !== null && price < least) [best, least] = [other, price];
  }
  return best;
}
