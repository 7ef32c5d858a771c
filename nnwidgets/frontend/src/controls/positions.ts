// Positions, keys and read-outs of sliders. Pure.

export interface Range {
  min: number;
  max: number;
  step: number;
  reversed: boolean; // the largest value is at the left
  toInput(value: number): number;
  fromInput(input: number): number;
}

export const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** To the nearest step, without the noise of binary fractions (0.30000000000000004). */
export function snap(value: number, min: number, max: number, step: number): number {
  const steps = Math.round((clamp(value, min, max) - min) / step);
  return clamp(Number((min + steps * step).toFixed(10)), min, max);
}

export function continuous(min: number, max: number, step: number): Range {
  return { min, max, step, reversed: false, toInput: (v) => v, fromInput: (v) => snap(v, min, max, step) };
}

/**
 * A slider over a list of numbers, in the order given from left to right. Where possible the native input holds the value
 * itself (bits 1..8), and one past the last stands for the odd one out (32 at 9): a larger number is clamped there by the browser.
 */
export function discrete(values: readonly number[]): Range {
  const rising = [...values].sort((a, b) => a - b);
  const reversed = values.length > 1 && values[0]! > values[values.length - 1]!;
  const [first = 0, last = 0] = [rising[0], rising.length > 1 ? rising[0]! + rising.length - 1 : rising[0]];
  const regular = rising.slice(0, -1).every((v, i) => v === first + i);
  const min = regular ? first : 0;
  const max = regular ? last : rising.length - 1;
  const nearest = (v: number): number =>
    rising.reduce((best, each, i) => (Math.abs(each - v) < Math.abs(rising[best]! - v) ? i : best), 0);
  return {
    min, max, step: 1, reversed,
    toInput: (v) => min + nearest(v),
    fromInput: (v) => rising[clamp(Math.round(v) - min, 0, rising.length - 1)] ?? first,
  };
}

/** Share of the track left of the thumb. */
export function share(range: Range, value: number): number {
  if (range.max === range.min) return 0;
  const along = (clamp(range.toInput(value), range.min, range.max) - range.min) / (range.max - range.min);
  return range.reversed ? 1 - along : along;
}

/** The native value after a key, or null for a key that does not move a slider. Right and up go to the right end. */
export function afterKey(key: string, input: number, range: Range): number | null {
  const page = Math.max(range.step, Number(((range.max - range.min) / 10).toPrecision(1)));
  const moves: Record<string, number> = {
    ArrowRight: range.step, ArrowUp: range.step, ArrowLeft: -range.step, ArrowDown: -range.step, PageUp: page, PageDown: -page,
  };
  const sign = range.reversed ? -1 : 1;
  if (key === "Home") return range.reversed ? range.max : range.min;
  if (key === "End") return range.reversed ? range.min : range.max;
  const by = moves[key];
  return by === undefined ? null : snap(input + sign * by, range.min, range.max, range.step);
}

export const percent = (share: number): string => `${Math.round(share * 100)} %`;
