import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { afterKey, share, type Range } from "./positions";
import { HelpButton } from "./Help";
import { uid } from "../uid";
import { useStore } from "./useStore";

interface TrackProps {
  id?: string;
  hold: string; // the key under which the value is held
  label?: string;
  range: Range;
  value: number;
  text: string;
  disabled?: boolean;
  onValue: (value: number) => void;
}

/** The native range input, with keys of its own: Home and End, PageUp and PageDown, and a left end that may be the largest value. */
export function Track({ id, hold, label, range, value, text, disabled = false, onValue }: TrackProps) {
  const store = useStore();
  const onInput = (event: JSX.TargetedEvent<HTMLInputElement>): void => onValue(range.fromInput(event.currentTarget.valueAsNumber));
  const onKey = (event: JSX.TargetedKeyboardEvent<HTMLInputElement>): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = afterKey(event.key, range.toInput(value), range);
    if (to === null) return;
    event.preventDefault();
    event.stopPropagation();
    if (to !== range.toInput(value)) onValue(range.fromInput(to));
  };
  return (
    <input type="range" id={id} class={range.reversed ? "range reversed" : "range"} min={range.min} max={range.max} step={range.step}
      value={range.toInput(value)} aria-valuetext={text} aria-label={label} disabled={disabled}
      style={{ "--share": `${(share(range, value) * 100).toFixed(2)}%` }}
      onPointerDown={() => store.grab(hold)} onInput={onInput} onKeyDown={onKey} />
  );
}

interface SliderProps extends Omit<TrackProps, "id" | "hold" | "label"> {
  control: string;
  label: string;
}

/** A named slider with its read-out and its explanation. */
export function Slider({ control, label, ...track }: SliderProps) {
  const id = useRef(uid()).current;
  return (
    <div class="control slider" data-nnw-control={control}>
      <div class="row">
        <span class="name"><label for={id}>{label}</label><HelpButton control={control} label={label} /></span>
        <output for={id} class="read">{track.text}</output>
      </div>
      <Track id={id} hold={control} {...track} />
    </div>
  );
}
