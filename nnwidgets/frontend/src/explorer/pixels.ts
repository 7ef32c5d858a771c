// Rasters on canvases. An atlas is coloured once per raster and theme; everything else copies rectangles.
import type { Raster } from "../explorer_wire";
import { placeOf, visible, type Grid } from "./grid";
import { atlasOf, colour } from "./raster";

interface Made {
  dark: boolean;
  canvas: HTMLCanvasElement;
  columns: number;
}

const made = new WeakMap<Raster, Made>();

/** All tiles of a raster on one hidden canvas, a pixel a cell. */
export function atlas(raster: Raster, dark: boolean): Made {
  const known = made.get(raster);
  if (known && (known.dark === dark || raster.kind !== "diverging")) return known;
  const shape = atlasOf(raster);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, shape.width);
  canvas.height = Math.max(1, shape.height);
  const context = canvas.getContext("2d");
  if (context) {
    const image = context.createImageData(canvas.width, canvas.height);
    colour(raster, dark, shape, new Uint32Array(image.data.buffer));
    context.putImageData(image, 0, 0);
  }
  const fresh = { dark, canvas, columns: shape.columns };
  made.set(raster, fresh);
  return fresh;
}

export interface Sheet {
  grid: Grid;
  count: number;
  rasters: readonly (Raster | null)[];
  dark: boolean;
  dimmed: (tile: number) => boolean;
}

/** Draws the tiles whose pictures reach into [from, from + canvas.height), in device pixels. */
export function draw(canvas: HTMLCanvasElement, from: number, { grid, count, rasters, dark, dimmed }: Sheet): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  const [first, last] = visible(grid, count, from, from + canvas.height);
  rasters.forEach((raster, part) => {
    if (!raster || raster.width < 1 || raster.height < 1) return;
    const { canvas: source, columns } = atlas(raster, dark);
    const { width, height } = raster;
    // Larger than the tile: a mean of cells, for picking one of several would lose maxima
    context.imageSmoothingEnabled = grid.width < width;
    context.imageSmoothingQuality = "medium";
    for (let i = first; i < Math.min(last, raster.count); i += 1) {
      const { x, y } = placeOf(grid, i, part);
      context.globalAlpha = dimmed(i) ? 0.22 : 1;
      context.drawImage(source, (i % columns) * width, Math.floor(i / columns) * height, width, height, x, y - from, grid.width, grid.height);
    }
  });
  context.globalAlpha = 1;
}
