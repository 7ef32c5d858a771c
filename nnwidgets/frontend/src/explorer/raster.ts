// Rasters to pixels and back to numbers. Pure.
import type { Box, Raster } from "../explorer_wire";
import { table } from "./lut";

export interface Atlas {
  columns: number;
  width: number;
  height: number;
}

/** A nearly square picture that holds all tiles: browsers limit each side. */
export function atlasOf({ count, width, height }: Pick<Raster, "count" | "width" | "height">): Atlas {
  const columns = Math.max(1, Math.min(count, Math.ceil(Math.sqrt((count * height) / Math.max(1, width)))));
  return { columns, width: columns * width, height: Math.ceil(count / columns) * height };
}

const bytesOf = (data: DataView): Uint8Array => new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);

/** Colours every tile into the words of an atlas. What the data are too short for stays transparent. */
export function colour(raster: Raster, dark: boolean, atlas: Atlas, words: Uint32Array): void {
  const bytes = bytesOf(raster.data);
  const look = table(raster.kind, dark);
  const { width, height, channels } = raster;
  const count = Math.min(raster.count, Math.floor(bytes.length / Math.max(1, width * height * channels)));
  let from = 0;
  for (let tile = 0; tile < count; tile += 1) {
    const corner = Math.floor(tile / atlas.columns) * height * atlas.width + (tile % atlas.columns) * width;
    for (let y = 0; y < height; y += 1) {
      let to = corner + y * atlas.width;
      if (channels === 1) for (const end = from + width; from < end; from += 1, to += 1) words[to] = look[bytes[from]!]!;
      else for (const end = from + 3 * width; from < end; from += 3, to += 1) words[to] = 0xff000000 | (bytes[from + 2]! << 16) | (bytes[from + 1]! << 8) | bytes[from]!;
    }
  }
}

export interface Cell {
  y: number;
  x: number;
}

/** The cell of a picture of width x height cells under a point, given as shares of its sides; null outside. */
export function cellAt(across: number, down: number, { width, height }: { width: number; height: number }): Cell | null {
  if (!(across >= 0 && across < 1 && down >= 0 && down < 1)) return null;
  return { y: Math.floor(down * height), x: Math.floor(across * width) };
}

/** The number in a cell: exact where the raster brings its values, else what the level stands for. */
export function valueAt(raster: Raster, { y, x }: Cell, tile = 0): { value: number; exact: boolean } | null {
  const { width, height, low, high, channels, values, data } = raster;
  if (x < 0 || y < 0 || x >= width || y >= height || channels !== 1) return null;
  const at = (tile * height + y) * width + x;
  if (values && 4 * at + 4 <= values.byteLength) return { value: values.getFloat32(4 * at, true), exact: true };
  if (at >= data.byteLength) return null;
  const level = data.getUint8(at);
  const [from, to] = raster.ranges?.[tile] ?? [low, high];
  if (raster.kind === "diverging") return { value: level <= 128 ? from * (1 - level / 128) : (to * (level - 128)) / 127, exact: false };
  return { value: from + ((to - from) * level) / 255, exact: false };
}

/** A step of the arrow keys, kept inside. */
export function step(cell: Cell, key: string, { width, height }: { width: number; height: number }): Cell | null {
  const moves: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const ends: Record<string, Cell> = { Home: { y: cell.y, x: 0 }, End: { y: cell.y, x: width - 1 }, PageUp: { y: 0, x: cell.x }, PageDown: { y: height - 1, x: cell.x } };
  const by = moves[key];
  if (!by) return ends[key] ?? null;
  return { y: Math.max(0, Math.min(height - 1, cell.y + by[0])), x: Math.max(0, Math.min(width - 1, cell.x + by[1])) };
}

/** "y,x" of the trait `position` and back; null for the strongest. */
export const positionText = (cell: Cell | null): string => (cell ? `${cell.y},${cell.x}` : "");

export function positionOf(text: string): Cell | null {
  const parts = /^\s*(\d+)\s*[,; ]\s*(\d+)\s*$/.exec(text);
  return parts ? { y: Number(parts[1]), x: Number(parts[2]) } : null;
}

/** The part of a box that is inside the picture, or null. */
export function clip(box: Box | null | undefined, width: number, height: number): Box | null {
  if (!box) return null;
  const inside = { y0: Math.max(0, box.y0), x0: Math.max(0, box.x0), y1: Math.min(height, box.y1), x1: Math.min(width, box.x1) };
  return inside.y1 > inside.y0 && inside.x1 > inside.x0 ? inside : null;
}

/** The part of a single picture that is in a box, as a picture of its own; the picture itself where the box is beside it. */
export function crop(raster: Raster, box: Box): Raster {
  const inside = clip(box, raster.width, raster.height);
  if (!inside) return raster;
  const [width, height] = [inside.x1 - inside.x0, inside.y1 - inside.y0];
  const part = (data: DataView, cell: number): DataView => {
    const [all, found] = [bytesOf(data), new Uint8Array(width * height * cell)];
    for (let y = 0; y < height; y += 1) {
      const from = ((inside.y0 + y) * raster.width + inside.x0) * cell;
      found.set(all.subarray(from, from + width * cell), y * width * cell);
    }
    return new DataView(found.buffer);
  };
  return { ...raster, count: 1, width, height, data: part(raster.data, raster.channels), ...(raster.values ? { values: part(raster.values, 4) } : {}) };
}

/** A number as people read it: three digits that count, a true minus, e only where it must be. */
export function said(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size >= 1e5 || size < 1e-4 ? value.toExponential(2) : size >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−");
}
