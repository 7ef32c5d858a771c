// Where the parts of a chart go: margins from the text they hold, heights from the record's aspect. Pure.
import type { Axis, Chart, Tick } from "../wire";
import { scaleOf } from "./scale";

export interface Layout {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number; // the four edges of the plot, in pixels from the top left
  ticks: number; // height of the strip of level ticks under the plot
  name: { lines: string[]; x: number; inline: boolean }; // of the x axis: between two ticks if there is room, else below
  em: number;
}

/** A guess without a browser; 0.6 em a letter errs on the wide side. */
export const textWidth = (text: string, em: number): number => text.length * em * 0.6;

export const axisText = (axis: Axis): string => (axis.unit ? `${axis.label}${axis.label ? ", " : ""}${axis.unit}` : axis.label);

const widest = (ticks: readonly Tick[], em: number): number => Math.max(0, ...ticks.map((tick) => textWidth(tick.text, em)));

/** Lines of at most `width` pixels, broken at spaces. */
export function wrap(text: string, width: number, em: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ").filter(Boolean)) {
    const last = lines[lines.length - 1];
    if (last !== undefined && textWidth(`${last} ${word}`, em) <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

function sides(chart: Chart, width: number, em: number): { left: number; right: number } {
  const { x, y } = chart;
  if (x.hidden && y.hidden) return { left: 1, right: width - 1 };
  const last = x.hidden ? undefined : x.ticks[x.ticks.length - 1];
  const left = y.hidden ? 4 : widest(y.ticks, em) + 0.9 * em;
  const spare = Math.max(0.7 * em, last && !y.hidden ? Math.min(textWidth(last.text, em) / 2, 2.5 * em) : 0);
  return { left, right: Math.max(left + 1, width - spare) };
}

/** Where the name of the x axis goes. Small charts have two ticks, and their name fits between them. */
function nameOf(x: Axis, left: number, right: number, em: number): Layout["name"] {
  const text = x.hidden ? "" : axisText(x);
  const scale = scaleOf(x, left, right);
  const shown = thin(x.ticks, (tick) => scale(tick.at), em);
  const [first, last] = shown;
  if (text && first && last && shown.length === 2) {
    const from = scale(first.at) + textWidth(first.text, em); // texts at the ends are moved inside
    const to = scale(last.at) - textWidth(last.text, em);
    if (to - from > textWidth(text, em) + 0.6 * em) return { lines: [text], x: (from + to) / 2, inline: true };
  }
  return { lines: wrap(text, right - left, em), x: right, inline: false };
}

export function layout(chart: Chart, width: number, em: number): Layout {
  const { x, y, series } = chart;
  const { left, right } = sides(chart, width, em);
  const name = nameOf(x, left, right, em);
  const bare = x.hidden && y.hidden;
  const lettered = series.some((s) => s.type === "rule" && s.orient === "v" && s.text);
  const ticks = series.some((s) => s.type === "ticks") ? 0.9 * em : 0;
  const top = (lettered ? 1.5 * em : bare ? 1 : 0.6 * em) + (!y.hidden && axisText(y) ? 1.6 * em : 0);
  const below = ticks + (x.hidden ? (bare ? 1 : 3) : 1.6 * em + (name.inline ? 0 : 1.35 * em * name.lines.length));
  // The record's size is its aspect, and about its size on a page with normal type: neither much smaller nor much larger
  const nominal = (Math.max(10, chart.height || 218) * em) / 11;
  const wanted = Math.min(Math.max((width * (chart.height || 218)) / (chart.width || 390), 0.85 * nominal), 1.7 * nominal);
  const height = Math.round(Math.max(wanted, top + below + 0.3 * nominal));
  return { width, height, left, right, top, bottom: height - below, ticks, name, em };
}

/** The ticks whose texts do not run into each other: the pinned one, the first, the last, then first come first kept. */
export function thin(ticks: readonly Tick[], at: (tick: Tick) => number, em: number, pinned?: Tick): Tick[] {
  const placed = ticks.filter((tick) => Number.isFinite(at(tick)));
  const room = (a: Tick, b: Tick): boolean =>
    Math.abs(at(b) - at(a)) >= (textWidth(a.text, em) + textWidth(b.text, em)) / 2 + 0.5 * em;
  const kept: Tick[] = [];
  for (const tick of [pinned, placed[0], placed[placed.length - 1], ...placed]) {
    if (tick && placed.includes(tick) && kept.every((other) => other !== tick && room(other, tick))) kept.push(tick);
  }
  return kept.sort((a, b) => at(a) - at(b));
}

/** Moves a text so that it stays inside [0, width]: its start, whatever its anchor was. */
export function keepInside(x: number, text: string, anchor: "start" | "middle" | "end", width: number, em: number): number {
  const wide = textWidth(text, em);
  const start = anchor === "start" ? x : anchor === "end" ? x - wide : x - wide / 2;
  const moved = Math.max(2, Math.min(start, width - wide - 2));
  return x + (moved - start);
}
