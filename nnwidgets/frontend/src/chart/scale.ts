// Data units to pixels. Ticks come from Python, so a scale is only a map.
import type { Axis } from "../wire";

export type Scale = (value: number) => number;

/** Maps the axis' domain to [from, to]; what a log scale cannot show is NaN. */
export function scaleOf(axis: Pick<Axis, "scale" | "domain">, from: number, to: number): Scale {
  const along = axis.scale === "log" ? Math.log : (value: number): number => value;
  const low = along(axis.domain[0]);
  const span = along(axis.domain[1]) - low;
  return (value) => {
    const share = span === 0 ? 0.5 : (along(value) - low) / span;
    return Number.isFinite(share) ? from + share * (to - from) : Number.NaN;
  };
}
