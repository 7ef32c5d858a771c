import type { Raster } from "../explorer_wire";

const lists = new WeakMap<Raster, readonly Raster[]>();

/** A list of one, the same one for the same raster: what is drawn from it is not drawn again. */
export function alone(raster: Raster): readonly Raster[] {
  const known = lists.get(raster) ?? [raster];
  lists.set(raster, known);
  return known;
}
