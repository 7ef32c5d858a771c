import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { uid } from "../uid";
import { HelpButton } from "./Help";
import { clamp } from "./positions";
import { useDraft } from "./useDraft";

interface Props {
  control: string;
  label: string;
  value: number;
  min: number;
  max: number;
  step: number | "any";
  whole?: boolean;
  onValue: (value: number) => void;
}

/** A small number; it is sent when it is complete, and what is no number falls back to the last one. */
export function NumberInput({ control, label, value, min, max, step, whole = false, onValue }: Props) {
  const id = useRef(uid()).current;
  const draft = useDraft();
  const onChange = (event: JSX.TargetedEvent<HTMLInputElement>): void => {
    const number = event.currentTarget.valueAsNumber;
    const fit = Number.isFinite(number) ? clamp(whole ? Math.round(number) : number, min, max) : value;
    event.currentTarget.value = String(fit);
    draft.drop();
    if (fit !== value) onValue(fit);
  };
  return (
    <div class="control number" data-nnw-control={control}>
      <span class="name"><label for={id}>{label}</label><HelpButton control={control} label={label} /></span>
      <input type="number" id={id} value={draft.text ?? value} min={min} max={max} step={step} {...draft.on} onChange={onChange} />
    </div>
  );
}
