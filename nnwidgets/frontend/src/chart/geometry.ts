// Shapes and hit tests, in pixels. Pure.
import type { Bars, Line, Points, Shape } from "../wire";
import type { Scale } from "./scale";

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Column extends Rect {
  id: string;
  title: string;
}

const round = (value: number): number => Math.round(value * 100) / 100;

/** One rectangle a bar; neighbours keep a hair's breadth between them. */
export function rects(bars: Bars, sx: Scale, sy: Scale): Rect[] {
  return bars.x0.map((x0, i) => {
    const [xa, xb] = [sx(x0), sx(bars.x1[i]!)].sort((a, b) => a - b) as [number, number];
    const [ya, yb] = [sy(bars.y0[i]!), sy(bars.y1[i]!)].sort((a, b) => a - b) as [number, number];
    const gap = xb - xa > 3 ? 1 : 0;
    if (![xa, xb, ya, yb].every(Number.isFinite)) return { x: 0, y: 0, width: 0, height: 0 };
    return { x: round(xa + gap / 2), y: round(ya), width: round(Math.max(0, xb - xa - gap)), height: round(yb - ya) };
  });
}

/** A path that breaks where a value is missing. */
export function path(line: Pick<Line, "x" | "y">, sx: Scale, sy: Scale): string {
  let pen = "M";
  let d = "";
  line.x.forEach((x, i) => {
    const [px, py] = [sx(x), sy(line.y[i] ?? Number.NaN)];
    if (Number.isFinite(px) && Number.isFinite(py)) {
      d += `${pen}${round(px)} ${round(py)}`;
      pen = "L";
    } else pen = "M";
  });
  return d;
}

/** A marker of "radius" r about (x, y); the four shapes have about the same area. */
export function marker(shape: Shape, x: number, y: number, r: number): string {
  const [a, b] = [round(x), round(y)];
  if (shape === "square") return `M${round(x - r * 0.89)} ${round(y - r * 0.89)}h${round(r * 1.78)}v${round(r * 1.78)}h${round(-r * 1.78)}z`;
  if (shape === "diamond") return `M${a} ${round(y - r * 1.25)}L${round(x + r * 1.25)} ${b}L${a} ${round(y + r * 1.25)}L${round(x - r * 1.25)} ${b}z`;
  if (shape === "triangle") return `M${a} ${round(y - r * 1.3)}L${round(x + r * 1.2)} ${round(y + r * 0.9)}L${round(x - r * 1.2)} ${round(y + r * 0.9)}z`;
  return `M${round(x - r)} ${b}a${r} ${r} 0 1 0 ${round(2 * r)} 0a${r} ${r} 0 1 0 ${round(-2 * r)} 0z`;
}

/**
 * The clickable columns of a chart: one an id, as wide as all its bars together, from left to right. In height they reach
 * over all bars that stand in them, with or without an id.
 */
export function columns(series: readonly Bars[], sx: Scale, sy: Scale): Column[] {
  const found = new Map<string, { low: number; high: number; titles: string[] }>();
  for (const bars of series) {
    bars.ids?.forEach((id, i) => {
      const [a, b] = [sx(bars.x0[i]!), sx(bars.x1[i]!)];
      const title = bars.titles?.[i] ?? "";
      const at = found.get(id) ?? { low: Infinity, high: -Infinity, titles: [] };
      at.low = Math.min(at.low, a, b);
      at.high = Math.max(at.high, a, b);
      if (title && !at.titles.includes(title)) at.titles.push(title);
      found.set(id, at);
    });
  }
  const edges = series.flatMap((bars) => [...bars.y0, ...bars.y1].map(sy)).filter(Number.isFinite);
  const [y, bottom] = edges.length ? [Math.min(...edges), Math.max(...edges)] : [0, 0];
  return [...found]
    .map(([id, at]) => ({ id, x: at.low, width: at.high - at.low, y, height: bottom - y, title: at.titles.join("\n") || id }))
    .sort((a, b) => a.x - b.x);
}

/** The column under x; between two columns, the nearer one. */
export function columnAt(all: readonly Column[], x: number, slack: number): Column | undefined {
  let best: Column | undefined;
  let least = slack;
  for (const column of all) {
    const away = Math.max(column.x - x, x - column.x - column.width, 0);
    if (away <= least && (best === undefined || away < least)) [best, least] = [column, away];
  }
  return best;
}

/** The column `step` to the right of `id` (clamped), for arrow keys. */
export function neighbour(all: readonly Column[], id: string, step: number): Column | undefined {
  const at = all.findIndex((column) => column.id === id);
  return all[Math.min(all.length - 1, Math.max(0, (at < 0 ? 0 : at) + step))];
}

export interface Hit {
  x: number;
  y: number;
  title: string;
}

/** The nearest titled point within `reach` pixels. */
export function pointAt(series: readonly Points[], sx: Scale, sy: Scale, x: number, y: number, reach: number): Hit | undefined {
  let best: Hit | undefined;
  let least = reach;
  for (const points of series) {
    points.titles?.forEach((title, i) => {
      const [px, py] = [sx(points.x[i]!), sy(points.y[i]!)];
      const away = Math.hypot(px - x, py - y);
      if (title && away <= least) [best, least] = [{ x: px, y: py, title }, away];
    });
  }
  return best;
}

/** The titled bar under (x, y). */
export function barAt(series: readonly Bars[], sx: Scale, sy: Scale, x: number, y: number): Hit | undefined {
  for (const bars of series) {
    if (!bars.titles) continue;
    const all = rects(bars, sx, sy);
    const at = all.findIndex((r) => x >= r.x && x <= r.x + r.width && y >= r.y && y <= r.y + r.height);
    const title = bars.titles[at];
    if (at >= 0 && title) return { x: all[at]!.x + all[at]!.width / 2, y: all[at]!.y, title };
  }
  return undefined;
}

/** "4 3" of any way to say a dash. */
export const dashes = (dash: boolean | number[] | string | undefined): string | undefined =>
  !dash ? undefined : dash === true ? "4 3" : Array.isArray(dash) ? dash.join(" ") : dash === "dot" ? "1.5 3" : /^[\d\s.,]+$/.test(dash) ? dash : "4 3";
