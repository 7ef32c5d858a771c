// The errors with their intervals on one axis, and the goal as a handle to drag.
import { useRef } from "preact/hooks";
import { useBox } from "../chart/useBox";
import { keepInside, textWidth, thin } from "../chart/layout";
import { scaleOf, type Scale } from "../chart/scale";
import { HelpButton } from "../controls/Help";
import { Track } from "../controls/Slider";
import { afterKey, continuous } from "../controls/positions";
import { words } from "../analysis_strings";
import type { Line, Mark } from "../analysis_wire";
import { plain } from "../shell/Note";
import { useAnalysis } from "./contract";
import { lanes, spread, stepOf, withNumber } from "./line";

interface Frame {
  width: number;
  em: number;
  sx: Scale;
  axis: number; // y of the axis
  left: number;
  right: number;
}

const [TOP, LANE] = [2.9, 0.95]; // em: room for the labels, from bar to bar
const KEY = 0.001;
const BELOW = 4.2; // em: ticks, then the goal

const labelOf = (mark: Mark): string => `${mark.label} ${mark.text}`;

function frameOf(line: Line, width: number, em: number): Frame & { height: number; lane: number[] } {
  const [left, right] = [1.6 * em, width - 1.6 * em];
  const sx = scaleOf({ scale: "linear", domain: line.domain }, left, right);
  const lane = lanes(line.marks.map(({ low, high }) => ({ low: sx(low), high: sx(high) })), 0.7 * em);
  const axis = (TOP + LANE * Math.max(0, ...lane)) * em;
  return { width, em, sx, left, right, axis, lane, height: axis + BELOW * em };
}

/** The labels stand in one row, each as near to its mark as the others let it. */
function placeLabels(marks: readonly Mark[], { sx, em, width }: Frame): { mark: Mark; x: number }[] {
  const sorted = [...marks].sort((a, b) => a.value - b.value);
  const wide = sorted.map((mark) => ({ x: sx(mark.value), width: textWidth(labelOf(mark), 1.02 * em) }));
  return spread(wide, width, 0.8 * em).map((x, i) => ({ mark: sorted[i]!, x }));
}

function MarkView({ mark, x, lane, frame }: { mark: Mark; x: number; lane: number; frame: Frame }) {
  const { sx, em, axis, width } = frame;
  const at = sx(mark.value);
  const y = axis - lane * LANE * em;
  const text = labelOf(mark);
  return (
    <g class={`r-${mark.role}`} data-nnw-value={`E_${mark.name}`} data-nnw-raw={plain(mark.value)}>
      <title>{`${text}: ${mark.tip}`}</title>
      <path class="stroke leader" d={`M${x} ${1.35 * em}L${at} ${y - 0.6 * em}`} />
      <path class="stroke interval" d={`M${sx(mark.low)} ${y}H${sx(mark.high)}`} stroke-width={0.66 * em} />
      <circle class="fill" cx={at} cy={y} r={0.5 * em} />
      <text class="halo bold" x={keepInside(x, text, "middle", width, em)} y={0.95 * em} text-anchor="middle">{text}</text>
    </g>
  );
}

function Rail({ line, frame }: { line: Line; frame: Frame }) {
  const { sx, em, axis, left, right } = frame;
  return (
    <g>
      <line class="rail" x1={left} x2={right} y1={axis} y2={axis} />
      {line.ticks.map((tick) => <line key={tick.at} class="rail thin" x1={sx(tick.at)} x2={sx(tick.at)} y1={axis} y2={axis + 0.45 * em} />)}
    </g>
  );
}

/** Over the goal's line, which they interrupt. */
function TickTexts({ line, frame }: { line: Line; frame: Frame }) {
  const { sx, em, axis, width } = frame;
  return (
    <g>
      {thin(line.ticks, (tick) => sx(tick.at), em).map((tick) => (
        <text key={tick.at} class="halo r-muted" x={keepInside(sx(tick.at), tick.text, "middle", width, em)} y={axis + 1.6 * em} text-anchor="middle">
          {tick.text}
        </text>
      ))}
    </g>
  );
}

function Goal({ goal, text, frame }: { goal: number; text: string; frame: Frame }) {
  const { sx, em, axis, width, left, right } = frame;
  const x = Math.min(right, Math.max(left, sx(goal)));
  const [tip, foot] = [axis + 2.05 * em, axis + 3.25 * em];
  const wide = textWidth(text, em) * 1.02;
  const turned = x + 1.5 * em + wide > width;
  return (
    <g class="r-good goal">
      <path class="stroke" d={`M${x} ${axis - 1.1 * em}V${tip}`} stroke-width={0.24 * em} />
      <path class="fill" d={`M${x - 0.85 * em} ${foot}H${x + 0.85 * em}L${x} ${tip}Z`} />
      <text class="halo bold" x={turned ? x - 1.45 * em : x + 1.45 * em} y={foot} text-anchor={turned ? "end" : "start"}>{text}</text>
    </g>
  );
}

/** The handle itself: a native slider of which only the thumb takes the pointer. */
function Handle({ line, goal, text, frame }: { line: Line; goal: number; text: string; frame: Frame }) {
  const store = useAnalysis();
  const { em, axis, left, right } = frame;
  const step = stepOf(line.domain);
  const [low, high] = [Math.max(step, line.domain[0]), line.domain[1]];
  const range = { ...continuous(line.domain[0], high, step), fromInput: (value: number) => Number(Math.max(low, value).toFixed(6)) };
  // The pointer moves it finely; a key by as much as can be read off its words
  const onKey = (event: KeyboardEvent): void => {
    const to = afterKey(event.key, goal, { ...range, min: KEY, step: KEY });
    if (to === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (to !== goal) store.write("goal", to);
  };
  return (
    <div class="handle" data-nnw-control="goal" onKeyDownCapture={onKey}
      style={{ left: `${left}px`, width: `${right - left}px`, top: `${axis - 1.2 * em}px`, height: `${4.7 * em}px` }}>
      <Track hold="goal" label={words.goal} range={range} value={goal} text={text} onValue={(value) => store.write("goal", value)} />
    </div>
  );
}

function Drawing({ line, width, em }: { line: Line; width: number; em: number }) {
  const goal = useAnalysis().value("goal", 0.05);
  const frame = frameOf(line, width, em);
  const text = withNumber(line.goal_text, 100 * goal);
  const said = line.marks.map((mark) => `${labelOf(mark)}: ${mark.tip}`).join(". ");
  return (
    <>
      <svg width={width} height={frame.height} viewBox={`0 0 ${width} ${frame.height}`} role="img" aria-label={said || words.unmeasured}>
        <Rail line={line} frame={frame} />
        {placeLabels(line.marks, frame).map(({ mark, x }) => (
          <MarkView key={mark.name} mark={mark} x={x} lane={frame.lane[line.marks.indexOf(mark)] ?? 0} frame={frame} />
        ))}
        <Goal goal={goal} text={text} frame={frame} />
        <TickTexts line={line} frame={frame} />
      </svg>
      <Handle line={line} goal={goal} text={text} frame={frame} />
    </>
  );
}

export function NumberLine({ line }: { line: Line }) {
  const store = useAnalysis();
  const [ref, box] = useBox();
  const axis = useRef(line);
  // Another axis under a pointer that is down would be another goal at the same place
  if (!store.moving("goal")) axis.current = line;
  const shown = { ...line, domain: axis.current.domain, ticks: axis.current.ticks };
  const help = store.get("help")?.["goal"];
  const tips = line.marks.map((mark) => `${labelOf(mark)}: ${mark.tip}`);
  const text = { ...help, what: [help?.what, ...tips].filter(Boolean).join("\n\n") };
  return (
    <section class="errors" aria-label={words.errors} data-nnw-chart="errors">
      <div class="row head"><h3>{words.errors}</h3><HelpButton control="goal" label={words.errors} text={text} /></div>
      <div class="canvas" ref={ref}>{box && <Drawing line={shown} width={box.width} em={box.em} />}</div>
      {line.marks.length === 0 && <p class="cap">{words.unmeasured}</p>}
    </section>
  );
}
