import type { Chart } from "../wire";
import { axisText, keepInside, thin, type Layout } from "./layout";
import type { Scale } from "./scale";

interface Props {
  chart: Chart;
  at: Layout;
  sx: Scale;
  sy: Scale;
  pinned: number | undefined; // where on the x axis the chosen bar is, in pixels
}

/** Grid lines, tick texts and axis names. */
export function Axes({ chart, at, sx, sy, pinned }: Props) {
  const { x, y } = chart;
  const chosen = pinned === undefined ? undefined : x.ticks.find((t) => Math.abs(sx(t.at) - pinned) < 1);
  const base = at.bottom + at.ticks;
  return (
    <g class="axes">
      {y.grid !== false && !y.hidden && y.ticks.map((t) => <line key={t.at} class="grid" x1={at.left} x2={at.right} y1={sy(t.at)} y2={sy(t.at)} />)}
      {x.grid && !x.hidden && x.ticks.map((t) => <line key={t.at} class="grid" x1={sx(t.at)} x2={sx(t.at)} y1={at.top} y2={at.bottom} />)}
      {!x.hidden && <line class="axis" x1={at.left} x2={at.right} y1={at.bottom} y2={at.bottom} />}
      {!y.hidden && y.ticks.map((t) => <text key={t.at} class="r-muted" x={at.left - 0.5 * at.em} y={sy(t.at) + 0.35 * at.em} text-anchor="end">{t.text}</text>)}
      {!x.hidden && thin(x.ticks, (t) => sx(t.at), at.em, chosen).map((t) => (
        <text key={t.at} class={t === chosen ? "r-alt bold" : "r-muted"} x={keepInside(sx(t.at), t.text, "middle", at.width, at.em)} y={base + 1.25 * at.em} text-anchor="middle">{t.text}</text>
      ))}
      {!y.hidden && axisText(y) && <text class="r-muted" x={2} y={0.95 * at.em}>{axisText(y)}</text>}
      {at.name.lines.map((line, i) => (
        <text key={i} class="r-muted" x={at.name.x} y={base + (at.name.inline ? 1.25 : 2.6 + 1.35 * i) * at.em} text-anchor={at.name.inline ? "middle" : "end"}>{line}</text>
      ))}
    </g>
  );
}
