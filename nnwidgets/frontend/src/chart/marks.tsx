// One drawing per kind of series.
import type { Bars, Interval, Line, Points, Rule, Series, Text, Ticks } from "../wire";
import { dashes, marker, path, rects } from "./geometry";
import { keepInside, type Layout } from "./layout";
import type { Scale } from "./scale";

interface Plot {
  at: Layout;
  sx: Scale;
  sy: Scale;
}

const at = (value: number | number[] | undefined, i: number): number | undefined => (Array.isArray(value) ? value[i] : value);

/** Pixels at the normal text size, larger with larger type. */
const pen = (width: number, box: Layout): number => (width * box.em) / 11;

function BarsMark({ series: s, sx, sy }: Plot & { series: Bars }) {
  return (
    <g>
      {rects(s, sx, sy).map((r, i) => (
        <rect key={i} {...r} class={`fill r-${s.roles?.[i] ?? s.role ?? "accent"}`} opacity={at(s.opacity, i)} />
      ))}
    </g>
  );
}

function LineMark({ series: s, sx, sy, at: box }: Plot & { series: Line }) {
  return (
    <path d={path(s, sx, sy)} class={`stroke r-${s.role ?? "accent"}`} stroke-width={pen(s.width ?? 1.5, box)} stroke-dasharray={dashes(s.dash)}
      stroke-linejoin="round" stroke-linecap="round" opacity={s.opacity} />
  );
}

function PointsMark({ series: s, sx, sy, at: box }: Plot & { series: Points }) {
  const r = pen(s.size ?? 3.5, box);
  return (
    <g class={`r-${s.role ?? "accent"} ${s.filled === false ? "hollow" : "fill"}`}>
      {s.x.map((x, i) => {
        const [px, py] = [sx(x), sy(s.y[i]!)];
        if (!Number.isFinite(px) || !Number.isFinite(py)) return null;
        return <path key={i} d={marker(s.shape ?? "circle", px, py, r)} opacity={at(s.opacity, i)} />;
      })}
    </g>
  );
}

function IntervalMark({ series: s, sx, sy, at: box }: Plot & { series: Interval }) {
  const d = s.at
    .map((v, i) => (s.orient === "v" ? [sx(v), sy(s.low[i]!), sx(v), sy(s.high[i]!)] : [sx(s.low[i]!), sy(v), sx(s.high[i]!), sy(v)]))
    .filter((p) => p.every(Number.isFinite))
    .map(([a, b, c, e]) => `M${a} ${b}L${c} ${e}`)
    .join("");
  return <path d={d} class={`stroke r-${s.role ?? "accent"}`} stroke-width={pen(s.width ?? 2, box)} stroke-linecap="round" opacity={s.opacity} />;
}

function RuleMark({ series: s, sx, sy, at: box }: Plot & { series: Rule }) {
  const v = s.orient === "v" ? sx(s.at) : sy(s.at);
  if (!Number.isFinite(v)) return null;
  const d = s.orient === "v" ? `M${v} ${box.top}V${box.bottom}` : `M${box.left} ${v}H${box.right}`;
  return <path d={d} class={`stroke r-${s.role ?? "muted"}`} stroke-width={pen(1.25, box)} stroke-dasharray={dashes(s.dash)} />;
}

/** Texts of rules and of text series: drawn last, outside the clipped plot, so that nothing covers or cuts them. */
export function Labels({ all, at: box, sx, sy }: Plot & { all: readonly Series[] }) {
  return (
    <g>
      {all.map((s, i) =>
        s.type === "text" ? <TextMark key={i} series={s} at={box} sx={sx} sy={sy} />
        : s.type === "rule" && s.text ? <RuleText key={i} series={s} at={box} sx={sx} sy={sy} /> : null,
      )}
    </g>
  );
}

function RuleText({ series: s, sx, sy, at: box }: Plot & { series: Rule }) {
  const text = s.text ?? "";
  const vertical = s.orient === "v";
  const anchor = s.text_anchor ?? (vertical ? "middle" : "start");
  const along = anchor === "end" ? box.right - 4 : anchor === "middle" ? (box.left + box.right) / 2 : box.left + 4;
  const x = vertical ? sx(s.at) : along;
  const above = vertical ? box.top - 0.45 * box.em : sy(s.at) - 0.4 * box.em;
  const y = !vertical && above < box.top + 0.6 * box.em ? sy(s.at) + 1.15 * box.em : above;
  if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
  return (
    <text x={keepInside(x, text, anchor, box.width, box.em)} y={y} text-anchor={anchor} class={`halo r-${s.role ?? "muted"}`}>{text}</text>
  );
}

function TextMark({ series: s, sx, sy, at: box }: Plot & { series: Text }) {
  const anchor = s.anchor ?? "start";
  const x = sx(s.x) + (s.dx ?? 0) * box.em;
  const y = sy(s.y) + (s.dy ?? 0) * box.em + 0.35 * box.em;
  if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
  return (
    <text x={keepInside(x, s.text, anchor, box.width, box.em)} y={Math.min(Math.max(y, box.em), box.bottom - 0.3 * box.em)} text-anchor={anchor}
      class={`halo r-${s.role ?? "ink"} ${s.bold ? "bold" : ""}`}>{s.text}</text>
  );
}

/** Short strokes below the x axis: the levels of a quantized layer. */
export function TicksMark({ series: s, sx, at: box }: Plot & { series: Ticks }) {
  const xs = s.at.map(sx).filter((x) => x >= box.left - 1 && x <= box.right + 1);
  return <path d={xs.map((x) => `M${x} ${box.bottom + 2}v${box.ticks - 3}`).join("")} class={`stroke r-${s.role ?? "alt"}`} stroke-width={pen(xs.length > 60 ? 1 : 2, box)} />;
}

export function Mark(props: Plot & { series: Series }) {
  const { series } = props;
  if (series.type === "bars") return <BarsMark {...props} series={series} />;
  if (series.type === "line") return <LineMark {...props} series={series} />;
  if (series.type === "points") return <PointsMark {...props} series={series} />;
  if (series.type === "interval") return <IntervalMark {...props} series={series} />;
  if (series.type === "rule") return <RuleMark {...props} series={series} />;
  return null;
}
