// Many pictures on one canvas, with a list box on top of it: labels, choice, what is switched off.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useBox } from "../chart/useBox";
import { words } from "../explorer_strings";
import type { Box, Raster, Tile } from "../explorer_wire";
import { memo } from "../memo";
import { afterKey, gridAcross, gridOf, inSight, placeOf, SIZES, type Grid, type SizeName } from "./grid";
import { draw, type Sheet } from "./pixels";
import { clip } from "./raster";
import { useDpr } from "./useDpr";

const LIMIT = 4096; // device pixels of height on one canvas; longer lists move it along
const BAR = 16; // CSS pixels
const SINGLE = 8; // em: a single number is a colour, no picture
const TALL = 50; // em: more than that scrolls inside

interface Props {
  name: string; // data-nnw-chart
  label: string;
  tiles: readonly Tile[];
  rasters: readonly (Raster | null)[]; // the pictures of each tile, side by side
  boxes?: readonly (Box | null)[] | undefined; // over the first picture of each
  size: SizeName | { least: number; most: number };
  dark: boolean;
  selected: number | null;
  tall?: number;
  across?: number; // so many side by side, however wide the place is
  plain?: boolean; // only to look at: no list box
  onSelect?: ((id: number) => void) | undefined;
  onToggle?: ((tile: Tile) => void) | undefined;
}

const shapeOf = (rasters: readonly (Raster | null)[]): Raster | null => rasters.find((each) => each !== null && each.width > 0 && each.height > 0) ?? null;

export const Tiles = memo(function Tiles(props: Props) {
  const { name, tiles, rasters, size, tall = TALL, across } = props;
  const [ref, box] = useBox();
  const dpr = useDpr();
  // While the pictures are being made, empty tiles of the last size keep their place
  const kept = useRef<{ width: number; height: number }>({ width: 32, height: 32 });
  const shape = shapeOf(rasters) ?? kept.current;
  kept.current = shape;
  const grid = useMemo(() => {
    if (!box) return null;
    const em = box.em * dpr;
    const [least, widest] = typeof size === "string" ? SIZES[size] : [size.least, size.most];
    const most = shape.width * shape.height === 1 ? Math.min(widest, SINGLE) : widest;
    const label = size === "small" || !tiles.some((each) => each.label) ? 0 : Math.ceil(1.25 * em);
    const wish = { least: least * em, most: most * em, gap: Math.round(0.55 * em), label, height: tall * em };
    const room = Math.floor(box.width * dpr);
    if (across) return gridAcross(tiles.length, across, shape.width, shape.height, room, wish);
    const made = gridOf(tiles.length, rasters.length, shape.width, shape.height, room, wish);
    // What scrolls leaves room for the scroll bar
    return made.total <= wish.height ? made : gridOf(tiles.length, rasters.length, shape.width, shape.height, room - Math.ceil(BAR * dpr), wish);
  }, [box?.width, box?.em, dpr, tiles, rasters.length, shape.width, shape.height, size, tall, across]);
  return (
    <div class={rasters.some(Boolean) ? "tiles" : "tiles waits"} data-nnw-chart={name}>
      <div class="measure" ref={ref} />
      {grid && box ? <Sheets {...props} grid={grid} dpr={dpr} limit={tall * box.em} /> : null}
    </div>
  );
});

interface SheetsProps extends Props {
  grid: Grid;
  dpr: number;
  limit: number; // CSS pixels of height before it scrolls
}

function Sheets({ label, tiles, rasters, boxes, dark, selected, plain, onSelect, onToggle, grid, dpr, limit }: SheetsProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const top = useRef(0);
  const [ended, setEnded] = useState(false); // scrolled to the last tile
  const high = Math.max(1, Math.min(grid.total, LIMIT));
  const wide = (grid.columns - 1) * grid.stepX + grid.parts * grid.width + (grid.parts - 1) * grid.inner;
  const sheet: Sheet = { grid, count: tiles.length, rasters, dark, dimmed: (i) => tiles[i]?.off ?? false };
  const paint = (): void => {
    const at = canvas.current;
    if (!at) return;
    const start = performance.now();
    if (at.width !== wide || at.height !== high) Object.assign(at, { width: wide, height: high });
    draw(at, top.current, sheet);
    at.style.top = `${top.current / dpr}px`;
    at.dataset["nnwMs"] = (performance.now() - start).toFixed(1);
  };
  const follow = (): void => {
    const view = scroller.current;
    if (!view) return;
    setEnded(view.scrollTop + view.clientHeight >= view.scrollHeight - 2);
    if (grid.total <= LIMIT) return;
    const [from, to] = [view.scrollTop * dpr, (view.scrollTop + view.clientHeight) * dpr];
    if (from >= top.current && to <= top.current + high) return;
    top.current = Math.round(Math.max(0, Math.min(grid.total - high, (from + to - high) / 2)));
    paint();
  };
  useLayoutEffect(() => {
    if (grid.total <= LIMIT) top.current = 0;
    else top.current = Math.min(top.current, grid.total - high);
    paint();
    follow();
  }, [grid, tiles, dark, dpr, ...rasters]);
  const at = tiles.findIndex((each) => each.id === selected);
  useLayoutEffect(() => {
    const view = scroller.current;
    if (!view || at < 0) return;
    const y = placeOf(grid, at).y / dpr;
    const bottom = y + grid.stepY / dpr;
    if (y < view.scrollTop) view.scrollTop = Math.max(0, y - 4);
    else if (bottom > view.scrollTop + view.clientHeight) view.scrollTop = bottom - view.clientHeight + 4;
  }, [at, grid]);
  const some = inSight(grid, tiles.length, limit * dpr);
  const more = some < tiles.length;
  return (
    <>
      <div class={more && !ended ? "scroller more" : "scroller"} ref={scroller} onScroll={follow} {...(plain ? { role: "img", "aria-label": label } : {})} style={{ maxHeight: `${limit + 8}px` }}>
        <div class="sheet" style={{ width: `${wide / dpr}px`, height: `${grid.total / dpr}px` }}>
          <canvas ref={canvas} aria-hidden="true" style={{ width: `${wide / dpr}px`, height: `${high / dpr}px` }} />
          {!plain && <Options label={label} tiles={tiles} grid={grid} dpr={dpr} selected={selected} boxes={boxes} raster={boxes ? (rasters[0] ?? null) : null} onSelect={onSelect} onToggle={onToggle} />}
        </div>
      </div>
      {more && <p class="cap scrolls" data-nnw-scrolls="">{words.inSight(some, tiles.length)}</p>}
    </>
  );
}

interface OptionsProps {
  label: string;
  tiles: readonly Tile[];
  grid: Grid;
  dpr: number;
  selected: number | null;
  boxes: readonly (Box | null)[] | undefined;
  raster: Raster | null;
  onSelect: ((id: number) => void) | undefined;
  onToggle: ((tile: Tile) => void) | undefined;
}

/** What is read out: the tip, and the visible label where the tip lacks it. */
function nameOf({ label, text, off }: Tile): string {
  const has = ` ${text.replace(/[,:;]/g, " ")} `.includes(` ${label} `);
  return [has ? text : `${label} ${text}`.trim(), off ? words.off : ""].filter(Boolean).join(", ");
}

const Options = memo(function Options({ label, tiles, grid, dpr, selected, boxes, raster, onSelect, onToggle }: OptionsProps) {
  const list = useRef<HTMLDivElement>(null);
  const [last, setLast] = useState<number | null>(null); // where the keyboard was, where nothing is chosen
  const chosen = tiles.findIndex((each) => each.id === selected);
  const current = chosen >= 0 ? chosen : Math.max(0, Math.min(tiles.length - 1, last ?? 0));
  const go = (to: number): void => {
    const tile = tiles[to];
    if (!tile) return;
    setLast(to);
    onSelect?.(tile.id);
    const element = list.current?.children[to] as HTMLElement | undefined;
    element?.focus({ preventScroll: true });
    element?.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const tile = tiles[current];
    const to = afterKey(event.key, current, tiles.length, grid.columns);
    if (to !== null) go(to);
    else if (event.key === "Enter" || event.key === " ") go(current);
    else if ((event.key === "Delete" || event.key.toLowerCase() === "o") && tile && onToggle) onToggle(tile);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const [width, height] = [(grid.parts * grid.width + (grid.parts - 1) * grid.inner) / dpr, grid.height / dpr];
  return (
    <div class="options" role="listbox" aria-label={label} ref={list} onKeyDown={onKey}>
      {tiles.map((tile, i) => {
        const { x, y } = placeOf(grid, i);
        return (
          <div key={tile.id} role="option" class={tile.off ? "tile off" : "tile"} aria-selected={tile.id === selected} tabIndex={i === current ? 0 : -1}
            aria-label={nameOf(tile)} title={tile.text} data-nnw-tile={tile.id}
            style={{ left: `${x / dpr}px`, top: `${y / dpr}px`, width: `${width}px`, height: `${height}px` }} onClick={() => go(i)}>
            <Boxed box={boxes?.[i]} raster={raster} share={grid.parts} />
            {grid.label > 0 && <span class="label" aria-hidden="true">{tile.label}</span>}
          </div>
        );
      })}
    </div>
  );
});

/** A box over a picture of cells: white on black, so that it shows on every colour. */
export function Boxed({ box, raster, share = 1 }: { box: Box | null | undefined; raster: Pick<Raster, "width" | "height"> | null; share?: number }) {
  const inside = raster && clip(box, raster.width, raster.height);
  if (!inside || !raster) return null;
  const { x0, x1, y0, y1 } = inside;
  const rect = { x: x0, y: y0, width: x1 - x0, height: y1 - y0, "vector-effect": "non-scaling-stroke" };
  return (
    <svg class="boxed" viewBox={`0 0 ${raster.width} ${raster.height}`} preserveAspectRatio="none" aria-hidden="true" style={share > 1 ? { width: `${100 / share}%` } : undefined}>
      <rect class="under" {...rect} />
      <rect class="over" {...rect} />
    </svg>
  );
}
