// What is on the screen: partial views are merged, stale ones dropped. Pure.
import type { Chart, Figure, View } from "./wire";

export interface Shown {
  seq: number;
  generation: number;
  loaded: boolean;
  figures: Record<string, Figure>;
  charts: Record<string, Chart>;
}

export const NOTHING: Shown = { seq: -1, generation: -1, loaded: false, figures: {}, charts: {} };

const isView = (view: unknown): view is View =>
  typeof view === "object" && view !== null && typeof (view as View).seq === "number";

/** An equal record keeps its old identity, so that its drawing is not done again. */
function keep<T>(old: Record<string, T>, fresh: Record<string, T> | undefined, base: Record<string, T>): Record<string, T> {
  const merged = { ...base };
  for (const [name, record] of Object.entries(fresh ?? {})) {
    const before = old[name];
    merged[name] = before !== undefined && JSON.stringify(before) === JSON.stringify(record) ? before : record;
  }
  return merged;
}

/** `view` over `shown`: what it does not name stays; an older sequence number changes nothing. */
export function merge(shown: Shown, view: unknown): Shown {
  if (!isView(view) || view.seq < shown.seq) return shown;
  const figures = keep(shown.figures, view.figures, shown.figures);
  const charts = keep(shown.charts, view.charts, shown.charts);
  const loaded = shown.loaded || Object.keys(figures).length > 0;
  return { seq: view.seq, generation: view.generation ?? shown.generation, loaded, figures, charts };
}

/** A complete view: what it does not name is gone. */
export function replace(shown: Shown, view: unknown): Shown {
  if (!isView(view) || view.seq < shown.seq) return shown;
  if (Object.keys(view.figures ?? {}).length === 0) return shown;
  const figures = keep(shown.figures, view.figures, {});
  const charts = keep(shown.charts, view.charts, {});
  return { seq: view.seq, generation: view.generation ?? shown.generation, loaded: true, figures, charts };
}

/** The state of a view that joins late. */
export const initial = (snapshot: unknown, view: unknown): Shown => merge(replace(NOTHING, snapshot), view);
