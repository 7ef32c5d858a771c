// Where tiles go, in device pixels, so that every cell of every tile is equally large. Pure.

export interface Wish {
  least: number; // side of a picture
  most: number;
  gap: number;
  label: number; // height of the line under each tile
  height: number; // all should be seen in this height, if they can
}

export interface Grid {
  parts: number; // pictures of one tile, side by side
  columns: number;
  rows: number;
  width: number; // of one picture
  height: number;
  label: number; // height of the line under each tile
  inner: number; // between the pictures of one tile
  stepX: number;
  stepY: number;
  total: number; // height of all
  whole: boolean; // each cell covers a whole number of device pixels
}

export const SIZES = { small: [2.3, 4], medium: [4.1, 26], large: [8, 44] } as const; // least and most, in em: a few tiles fill the place
export type SizeName = keyof typeof SIZES;

const fit = (count: number, parts: number, width: number, room: number, wish: Wish, height: number, whole: boolean, across?: number): Grid => {
  const inner = parts > 1 ? Math.max(1, Math.round(wish.gap / 4)) : 0;
  const one = parts * width + (parts - 1) * inner;
  const columns = across ?? Math.max(1, Math.min(count, Math.floor((room + wish.gap) / (one + wish.gap))));
  const spare = columns > 1 && count > columns ? Math.floor((room - columns * one) / (columns - 1)) : wish.gap;
  const rows = Math.ceil(count / columns);
  const stepY = height + wish.label + wish.gap;
  return { parts, columns, rows, width, height, label: wish.label, inner, stepX: one + Math.min(spare, (parts > 1 ? 6 : 2.5) * wish.gap), stepY, total: Math.max(0, rows * stepY - wish.gap), whole };
};

/**
 * Tiles of w x h cells (`parts` pictures each) in `room` pixels: the largest that are seen all at once, and where that cannot be,
 * the smallest that are wished. Cells are whole pixels unless the picture is larger than the tile may be.
 */
export function gridOf(count: number, parts: number, w: number, h: number, room: number, wish: Wish): Grid {
  const most = Math.max(8, Math.min(wish.most, Math.floor((room - (parts - 1) * wish.gap) / parts)));
  const least = Math.min(wish.least, most);
  const shape = Math.max(0.25, Math.min(1.5, h / w)); // long strips stay visible, tall ones stay inside
  const true_ = Math.abs(shape - h / w) < 1e-9;
  let best: Grid | undefined;
  const consider = (width: number, height: number, whole: boolean): void => {
    const grid = fit(count, parts, width, room, wish, height, whole);
    if (!best || grid.total <= wish.height) best = grid;
  };
  const first = Math.ceil(least / w);
  if (true_) for (let k = first; k * w <= most; k += 1) consider(k * w, k * h, true);
  if (!best) for (let side = Math.round(least); side <= most; side += Math.max(1, Math.round(least / 16))) consider(side, Math.max(1, Math.round(side * shape)), false);
  return best ?? fit(count, parts, most, room, wish, Math.max(1, Math.round(most * shape)), false);
}

/** So many tiles side by side as the caller says, as large as the room allows. */
export function gridAcross(count: number, across: number, w: number, h: number, room: number, wish: Wish): Grid {
  const side = Math.max(4, Math.min(wish.most, Math.floor((room - (across - 1) * wish.gap) / across)));
  const scale = side >= w ? Math.floor(side / w) : side / w;
  return fit(count, 1, Math.max(1, Math.round(w * scale)), room, wish, Math.max(1, Math.round(h * scale)), side >= w, across);
}

/** Left top corner of picture `part` of tile `i`. */
export const placeOf = (grid: Grid, i: number, part = 0): { x: number; y: number } => ({
  x: (i % grid.columns) * grid.stepX + part * (grid.width + grid.inner),
  y: Math.floor(i / grid.columns) * grid.stepY,
});

/** The tiles whose pictures show between two heights. */
export function visible(grid: Grid, count: number, from: number, to: number): [number, number] {
  const first = Math.max(0, Math.floor(from / grid.stepY)) * grid.columns;
  return [Math.min(count, first), Math.min(count, (Math.floor(to / grid.stepY) + 1) * grid.columns)];
}

/** How many tiles are seen at once in a height. */
export const inSight = (grid: Grid, count: number, height: number): number =>
  grid.total <= height ? count : Math.min(count, grid.columns * Math.max(1, Math.floor((height + grid.stepY - grid.height) / grid.stepY)));

/** The tile after a key, or null for a key that moves nothing. */
export function afterKey(key: string, at: number, count: number, columns: number): number | null {
  const moves: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: 4 * columns, PageUp: -4 * columns };
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  const by = moves[key];
  if (by === undefined) return null;
  const to = at + by;
  if (Math.abs(by) === 1) return Math.max(0, Math.min(count - 1, to));
  // Up and down keep the column; below the last full row it ends at the last tile
  if (to < 0) return Math.abs(by) > columns ? at % columns : at;
  return to < count ? to : Math.floor(at / columns) === Math.floor((count - 1) / columns) ? at : count - 1;
}
