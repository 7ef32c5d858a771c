// Draws any Chart record as SVG, in real pixels, so that the type keeps its size at every width.
import { memo } from "../memo";
import { useMemo, useRef, useState } from "preact/hooks";
import type { Bars, Chart as Record_, Points } from "../wire";
import { Axes } from "./Axes";
import { barAt, columnAt, columns, neighbour, pointAt, type Column, type Hit } from "./geometry";
import { layout, type Layout } from "./layout";
import { Legend } from "./Legend";
import { Labels, Mark, TicksMark } from "./marks";
import { scaleOf } from "./scale";
import { strings } from "../strings";
import { Boundary } from "../Boundary";
import { useBox } from "./useBox";

interface Props {
  name: string;
  chart: Record_;
  selected?: string | undefined;
  onSelect?: ((id: string) => void) | undefined;
}

const PAD = 8; // pixels round the plot in which marks are not cut off

export const ChartView = memo(function ChartView({ name, chart, selected, onSelect }: Props) {
  const [ref, box] = useBox();
  const at = box && layout(chart, box.width, box.em);
  return (
    <figure class="chart" data-nnw-chart={name}>
      <div class="canvas" ref={ref} style={at ? undefined : { aspectRatio: `${chart.width} / ${chart.height}` }}>
        <Boundary mark={chart} message={strings.drawFailed}>
          {at && <Drawing chart={chart} at={at} selected={selected} onSelect={onSelect} />}
        </Boundary>
      </div>
      <Legend series={chart.series} />
    </figure>
  );
});

function Drawing({ chart, at, selected, onSelect }: Omit<Props, "name"> & { at: Layout }) {
  const sx = scaleOf(chart.x, at.left, at.right);
  const sy = scaleOf(chart.y, at.bottom, at.top);
  const bars = chart.series.filter((s): s is Bars => s.type === "bars");
  const points = chart.series.filter((s): s is Points => s.type === "points");
  const all = onSelect ? columns(bars, sx, sy) : [];
  const [hit, setHit] = useState<Hit | null>(null);
  const find = (event: PointerEvent): void => {
    const frame = (event.currentTarget as SVGElement).getBoundingClientRect();
    const x = ((event.clientX - frame.left) * at.width) / frame.width;
    const y = ((event.clientY - frame.top) * at.height) / frame.height;
    const column = columnAt(all, x, 0.5 * at.em);
    const found = column ? { x: column.x + column.width / 2, y: at.top, title: column.title }
      : (pointAt(points, sx, sy, x, y, 1.4 * at.em) ?? barAt(bars, sx, sy, x, y) ?? null);
    setHit((old) => (old?.title === found?.title && old?.x === found?.x ? old : found));
  };
  const clip = { x: at.left - PAD, y: at.top - PAD, width: at.right - at.left + 2 * PAD, height: at.bottom - at.top + 2 * PAD };
  const plot = { at, sx, sy };
  const chosen = all.find((each) => each.id === selected);
  const pinned = chosen && chosen.x + chosen.width / 2;
  const drawing = useMemo(
    () => (
      <>
        <Axes chart={chart} at={at} sx={sx} sy={sy} pinned={pinned} />
        <svg {...clip} viewBox={`${clip.x} ${clip.y} ${clip.width} ${clip.height}`}>
          {chart.series.map((s, i) => <Mark key={i} series={s} {...plot} />)}
        </svg>
        {chart.series.map((s, i) => (s.type === "ticks" ? <TicksMark key={i} series={s} {...plot} /> : null))}
        <Labels all={chart.series} {...plot} />
      </>
    ),
    [chart, at.width, at.height, at.em, pinned],
  );
  return (
    <>
      <svg width={at.width} height={at.height} viewBox={`0 0 ${at.width} ${at.height}`} role={all.length ? "group" : "img"}
        aria-label={chart.description || chart.title} onPointerMove={find} onPointerLeave={() => setHit(null)}>
        {chosen && <Highlight column={chosen} />}
        {drawing}
        {all.length > 0 && onSelect && <Choices all={all} label={chart.title} selected={selected} onSelect={onSelect} />}
      </svg>
      {hit && <Tip hit={hit} at={at} />}
    </>
  );
}

function Highlight({ column }: { column: Column }) {
  return <rect class="chosen" x={column.x - 3} y={column.y - 3} width={column.width + 6} height={column.height + 6} rx={4} />;
}

interface ChoicesProps {
  all: readonly Column[];
  label: string;
  selected: string | undefined;
  onSelect: (id: string) => void;
}

/** Bars that can be chosen: a list box on top of the drawing, walked with the arrow keys. */
function Choices({ all, label, selected, onSelect }: ChoicesProps) {
  const group = useRef<SVGGElement>(null);
  const current = all.some((each) => each.id === selected) ? selected : all[0]?.id;
  const onKey = (event: KeyboardEvent): void => {
    const steps: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -all.length, End: all.length, Enter: 0, " ": 0 };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const to = neighbour(all, current ?? "", step);
    if (!to) return;
    onSelect(to.id);
    group.current?.querySelectorAll<SVGElement>("[role=option]")[all.indexOf(to)]?.focus();
  };
  return (
    <g role="listbox" aria-label={label} ref={group} onKeyDown={onKey}>
      {all.map((each) => (
        <rect key={each.id} role="option" aria-selected={each.id === selected} aria-label={each.title} tabindex={each.id === current ? 0 : -1 /* SVG attributes mind their case */}
          data-nnw-id={each.id} class="choice" x={each.x - 2} y={each.y - 2} width={each.width + 4} height={each.height + 4} rx={4}
          onClick={() => onSelect(each.id)} />
      ))}
    </g>
  );
}

function Tip({ hit, at }: { hit: Hit; at: Layout }) {
  const right = hit.x > at.width / 2;
  const side = right ? { right: `${at.width - hit.x + 10}px` } : { left: `${hit.x + 10}px` };
  return <div class="tip" style={{ ...side, top: `${Math.max(0, hit.y - 8)}px` }} aria-hidden="true">{hit.title}</div>;
}
