// Images with their labels: one stop of Tab, arrow keys between them.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { TileItem } from "../analysis_wire";
import type { Raster } from "../explorer_wire";
import { useBox } from "../chart/useBox";
import { afterKey } from "../explorer/grid";
import { atlas } from "../explorer/pixels";
import { useDpr } from "../explorer/useDpr";

const [LEAST, MOST] = [5.2, 10]; // em: side of an image

/** A whole number of device pixels a cell where the image is small enough for that. */
export function sideOf(cells: number, em: number, dpr: number): number {
  const times = Math.max(1, Math.ceil((LEAST * em * dpr) / cells));
  const side = (times * cells) / dpr;
  return side <= MOST * em ? side : LEAST * em;
}

function Image({ raster, at, side, dark }: { raster: Raster; at: number; side: number; dark: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = raster;
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const { canvas: source, columns } = atlas(raster, dark);
    context.clearRect(0, 0, width, height);
    context.drawImage(source, (at % columns) * width, Math.floor(at / columns) * height, width, height, 0, 0, width, height);
  }, [raster, at, dark]);
  return <canvas ref={canvas} width={width} height={height} aria-hidden="true" style={{ width: `${side}px`, height: `${(side * height) / width}px` }} />;
}

interface Props {
  label: string;
  items: readonly TileItem[];
  raster: Raster;
  dark: boolean;
  selected: string;
  onSelect: (id: string) => void;
}

/** How many images stand side by side, read off the page: where the second row begins. */
function columnsOf(list: HTMLElement): number {
  const tops = [...list.children].map((each) => (each as HTMLElement).offsetTop);
  const second = tops.findIndex((top) => top !== tops[0]);
  return second < 0 ? tops.length : second;
}

export function Gallery({ label, items, raster, dark, selected, onSelect }: Props) {
  const [ref, box] = useBox();
  const list = useRef<HTMLDivElement>(null);
  const dpr = useDpr();
  const [last, setLast] = useState(0);
  const chosen = items.findIndex((item) => item.id === selected);
  const stop = chosen >= 0 ? chosen : Math.min(last, items.length - 1);
  const side = box ? sideOf(raster.width, box.em, dpr) : 0;
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || !list.current) return;
    const to = afterKey(event.key, stop, items.length, columnsOf(list.current));
    const item = to === null ? undefined : items[to];
    if (!item || to === null) return;
    event.preventDefault();
    event.stopPropagation();
    setLast(to);
    onSelect(item.id);
    (list.current.children[to] as HTMLElement | undefined)?.focus();
  };
  return (
    <div ref={ref}>
      <div class="gallery" role="group" aria-label={label} ref={list} onKeyDown={onKey}>
        {box && items.slice(0, raster.count).map((item, i) => (
          <button type="button" key={item.id} class={`image r-${item.role}`} aria-pressed={item.id === selected} tabIndex={i === stop ? 0 : -1}
            title={item.text} aria-label={[item.label, item.text, item.mark].filter(Boolean).join(", ")} data-nnw-tile={item.id}
            style={{ width: `${side + 6}px` }} onClick={() => onSelect(item.id)}>
            <Image raster={raster} at={i} side={side} dark={dark} />
            <span class="label" aria-hidden="true">{item.label}</span>
            {item.mark && <span class="mark" aria-hidden="true">{item.mark}</span>}
          </button>
        ))}
      </div>
    </div>
  );
}
