// Choices as Python names them, in one form. Pure.
import { strings } from "./strings";
import type { Allocation, Choice, LayerRow, Layer } from "./wire";

/** Tasks that are shown in the card that asks for them; the others are shown where the network is trained. */
export const IN_ITS_CARD = new Set(["search", "export", "encodings", "crossover", "lottery", "bits", "arithmetic", "remedies"]);

export const BY_HAND = "by hand";

/** The plain numbers of a list of numbers or choices. */
export const numbers = (list: readonly (Choice | number)[] | undefined): number[] =>
  (list ?? []).map((each) => (typeof each === "number" ? each : Number(each.value))).filter(Number.isFinite);

const HAND = new Set([BY_HAND, "by_hand", "hand", "manual"]);

/** The ways to spread the removal; "by hand" stands for a mapping and is added where Python does not name it. */
export function allocations(list: readonly Choice[] | undefined): Choice[] {
  const named = (list ?? []).map((each) => (HAND.has(String(each.value)) ? { ...each, value: BY_HAND } : each));
  return named.some((each) => each.value === BY_HAND) ? named : [...named, { value: BY_HAND, label: strings.byHand }];
}

/** [n, m] of an "n:m" pattern, null for another structure. */
export function pattern(structure: string): [number, number] | null {
  const found = /^(\d+):(\d+)$/.exec(structure);
  return found ? [Number(found[1]), Number(found[2])] : null;
}

export const prunable = (layer: Layer | undefined, structure: string): boolean => layer?.prunable_as?.includes(structure) ?? true;

/** The share of each layer that can be pruned so, as it is now: the start of "by hand". */
export function byHand(
  rows: readonly LayerRow[], layers: readonly Layer[], structure: string, allocation?: Allocation,
): Record<string, number> {
  const known = new Map(layers.map((layer) => [layer.name, layer]));
  const now = typeof allocation === "object" ? allocation : {};
  const fit = rows.filter((row) => prunable(known.get(row.name), structure));
  return Object.fromEntries(fit.map((row) => [row.name, now[row.name] ?? Math.min(0.99, Math.round(row.amount * 100) / 100)]));
}
