// A canvas of the input's size: pencil with a soft edge, or arrow keys and space.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { words } from "../explorer_strings";
import { useExplorer } from "./contract";
import { table } from "./lut";
import { step } from "./raster";
import { Sketch } from "./sketch";

interface Props {
  width: number;
  height: number;
  onDone: () => void;
}

export function DrawPad({ width, height, onDone }: Props) {
  const store = useExplorer();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [sketch] = useState(() => new Sketch(width, height));
  const [pen, setPen] = useState({ y: Math.floor(height / 2), x: Math.floor(width / 2) });
  const [blank, setBlank] = useState(true);
  const last = useRef<[number, number] | null>(null);
  const paint = (): void => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(width, height);
    const [words32, grey] = [new Uint32Array(image.data.buffer), table("grey", false)];
    sketch.pixels.forEach((level, i) => { words32[i] = grey[level]!; });
    context.putImageData(image, 0, 0);
    setBlank(sketch.empty);
  };
  useLayoutEffect(paint, []);
  const at = (event: PointerEvent): [number, number] => {
    const frame = canvas.current!.getBoundingClientRect();
    return [((event.clientX - frame.left) / frame.width) * width, ((event.clientY - frame.top) / frame.height) * height];
  };
  const line = (to: [number, number]): void => {
    const from = last.current ?? to;
    sketch.stroke(from[0], from[1], to[0], to[1]);
    last.current = to;
  };
  const onDown = (event: PointerEvent): void => {
    event.preventDefault();
    const element = event.currentTarget as HTMLElement;
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    last.current = null;
    line(at(event));
    paint();
  };
  const onMove = (event: PointerEvent): void => {
    if (!last.current) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const each of all.length ? all : [event]) line(at(each));
    paint();
  };
  const onUp = (): void => { last.current = null; };
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.key === "Tab" || event.key === "Escape") return;
    const to = step(pen, event.key, { width, height });
    if (to) {
      if (event.shiftKey) sketch.stroke(pen.x + 0.5, pen.y + 0.5, to.x + 0.5, to.y + 0.5);
      setPen(to);
    } else if (event.key === " ") sketch.stroke(pen.x + 0.5, pen.y + 0.5, pen.x + 0.5, pen.y + 0.5);
    else if (event.key === "Delete" || event.key === "Backspace") sketch.clear();
    else if (event.key !== "Enter") return;
    // Before the dialog closes: the button that gets the focus would take the same Enter for a click
    event.preventDefault();
    event.stopPropagation();
    if (event.key === "Enter") use();
    else paint();
  };
  const use = (): void => {
    if (sketch.empty) return;
    store.command("draw", { width, height }, { buffers: [sketch.pixels.slice().buffer as ArrayBuffer] });
    onDone();
  };
  return (
    <div class="draw">
      <h3>{words.drawTitle}</h3>
      <div class="pad" role="application" tabIndex={0} aria-label={words.canvas(width, height)} style={{ aspectRatio: `${width} / ${height}` }}
        onPointerDown={onDown} onPointerMove={onMove} onPointerUp={onUp} onPointerCancel={onUp} onKeyDown={onKey} data-nnw-draw="" data-nnw-first="">
        <canvas ref={canvas} width={width} height={height} aria-hidden="true" />
        <i class="pen" style={{ left: `${(100 * (pen.x + 0.5)) / width}%`, top: `${(100 * (pen.y + 0.5)) / height}%` }} />
      </div>
      <p class="cap">{words.drawHint}</p>
      <div class="row start">
        <button type="button" class="main" aria-disabled={blank} data-nnw-action="draw_use" onClick={use}>{words.use}</button>
        <button type="button" data-nnw-action="draw_clear" onClick={() => { sketch.clear(); paint(); }}>{words.clear}</button>
      </div>
    </div>
  );
}
