// Where the labels of the number line go. Pure.

export interface Label {
  x: number; // where its mark is
  width: number;
}

/**
 * Middles of labels in one row, as near to their marks as they can be without touching (pooled neighbours share their shift),
 * inside [0, room]. The labels come sorted by x.
 */
export function spread(labels: readonly Label[], room: number, gap: number): number[] {
  const before: number[] = []; // from the start of the row to the middle of each, when all stand tight
  let used = 0;
  for (const { width } of labels) {
    before.push(used + width / 2);
    used += width + gap;
  }
  const last = room - (used - gap);
  return pooled(labels.map(({ x }, i) => x - before[i]!)).map((start, i) => Math.max(0, Math.min(start, last)) + before[i]!);
}

/** The nearest sequence that does not fall (pool adjacent violators). */
function pooled(values: readonly number[]): number[] {
  const pools: { mean: number; size: number }[] = [];
  for (const value of values) {
    let pool = { mean: value, size: 1 };
    for (let last = pools[pools.length - 1]; last && last.mean > pool.mean; last = pools[pools.length - 1]) {
      pools.pop();
      pool = { mean: (last.mean * last.size + pool.mean * pool.size) / (last.size + pool.size), size: last.size + pool.size };
    }
    pools.push(pool);
  }
  return pools.flatMap(({ mean, size }) => Array.from({ length: size }, () => mean));
}

/** The lane of each bar, 0 first: bars that overlap lie in different ones. */
export function lanes(bars: readonly { low: number; high: number }[], gap: number): number[] {
  const ends: { low: number; high: number }[][] = [];
  return bars.map((bar) => {
    const free = ends.findIndex((lane) => lane.every((other) => bar.low > other.high + gap || bar.high < other.low - gap));
    const at = free < 0 ? ends.length : free;
    (ends[at] ??= []).push(bar);
    return at;
  });
}

/** A text of Python with the number of this moment in it, written as the old one was: while the goal is dragged, words do not lag. */
export function withNumber(text: string, percent: number): string {
  return text.replace(/\d+(?:[.,](\d+))?/, (old, digits: string | undefined) => {
    const fresh = percent.toFixed(digits?.length ?? 0);
    return old.includes(",") ? fresh.replace(".", ",") : fresh;
  });
}

/** The step of the handle: about a 400th of the axis, a round number, at most 0.001. */
export function stepOf([low, high]: readonly [number, number]): number {
  return [0.001, 0.0005, 0.0002, 0.0001].find((step) => step <= (high - low) / 400) ?? 0.0001;
}
