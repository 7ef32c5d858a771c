// One raster tile as large as its place allows, each cell a whole number of device pixels.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useBox } from "../chart/useBox";
import type { Box, Raster } from "../explorer_wire";
import { colour, crop } from "./raster";
import { useDpr } from "./useDpr";

interface Props {
  raster: Raster;
  dark: boolean;
  most?: number; // em of height
  near?: Box | null | undefined; // only this part is shown
  children?: ComponentChildren; // laid over the picture
}

/** Size in CSS pixels of w x h cells in a room: whole device pixels a cell, from two on. Of so many cells that they get less, it is the room. */
export function sizeOf(w: number, h: number, room: number, most: number, dpr: number): { width: number; height: number; whole: boolean } {
  const large = Math.min((room * dpr) / w, (most * dpr) / h);
  const scale = large >= 2 ? Math.floor(large) : large;
  // A row of numbers (1 x 300) would be a hair: it is made thicker
  const height = Math.max((h * scale) / dpr, Math.min(most, 24));
  return { width: (w * scale) / dpr, height, whole: large >= 2 };
}

export function Picture({ raster: whole, dark, most = 26, near, children }: Props) {
  const raster = useMemo(() => (near ? crop(whole, near) : whole), [whole, near]);
  const [ref, box] = useBox();
  const canvas = useRef<HTMLCanvasElement>(null);
  const dpr = useDpr();
  const size = box && sizeOf(raster.width, raster.height, box.width, most * box.em, dpr);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !canvas.current || raster.width < 1 || raster.height < 1) return;
    Object.assign(canvas.current, { width: raster.width, height: raster.height });
    const image = context.createImageData(raster.width, raster.height);
    colour({ ...raster, count: 1 }, dark, { columns: 1, width: raster.width, height: raster.height }, new Uint32Array(image.data.buffer));
    context.putImageData(image, 0, 0);
  }, [raster, dark, size === null]);
  if (raster.width < 1 || raster.height < 1) return null;
  return (
    <div class="picture" ref={ref} style={size ? undefined : { aspectRatio: `${raster.width} / ${raster.height}` }}>
      {size && (
        <div class="frame" style={{ width: `${size.width}px`, height: `${size.height}px` }}>
          <canvas ref={canvas} aria-hidden="true" class={size.whole ? "crisp" : ""} />
          {children}
        </div>
      )}
    </div>
  );
}
