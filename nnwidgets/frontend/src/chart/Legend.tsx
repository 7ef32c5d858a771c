import type { Series } from "../wire";
import { dashes, marker } from "./geometry";

function Swatch({ series: s }: { series: Series }) {
  const role = "role" in s && s.role ? s.role : s.type === "bars" ? (s.roles?.[0] ?? "accent") : "accent";
  const line = s.type === "line" || s.type === "rule" || s.type === "interval" || s.type === "ticks";
  return (
    <svg class={`swatch r-${role}`} viewBox="0 0 16 10" aria-hidden="true">
      {line && <path class="stroke" d={s.type === "ticks" || s.type === "interval" ? "M8 1V9" : "M1 5H15"} stroke-width={2} stroke-dasharray={"dash" in s ? dashes(s.dash) : undefined} />}
      {s.type === "bars" && <rect class="fill" x={3} y={0} width={10} height={10} rx={2} opacity={typeof s.opacity === "number" ? s.opacity : 1} />}
      {s.type === "points" && <path class={s.filled === false ? "hollow" : "fill"} d={marker(s.shape ?? "circle", 8, 5, 3.6)} />}
    </svg>
  );
}

/** One line under a chart, when it has two named series or more. With one its place is kept: a second one moves nothing. */
export function Legend({ series }: { series: readonly Series[] }) {
  const named = series.filter((s) => "label" in s && s.label);
  if (named.length === 0) return null;
  if (named.length === 1) return <div class="legend" />;
  return (
    <div class="legend">
      {named.map((s, i) => (
        <span key={i}><Swatch series={s} />{s.label}</span>
      ))}
    </div>
  );
}
