import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { uid } from "../uid";
import type { Choice, Value } from "../wire";
import { HelpButton } from "./Help";

interface Props {
  control: string;
  label: string;
  choices: readonly Choice[];
  value: Value;
  bare?: boolean; // its name is only read out
  onValue: (value: Value) => void;
}

/** Radio buttons that look like one button in parts. */
export function Segmented({ control, label, choices, value, bare = false, onValue }: Props) {
  const id = useRef(uid()).current;
  // The value is read from the input, so that a script that sets it is obeyed as well
  const onChange = (event: JSX.TargetedEvent<HTMLInputElement>): void => {
    const chosen = choices.find((each) => String(each.value) === event.currentTarget.value);
    if (chosen && !chosen.disabled) onValue(chosen.value);
  };
  return (
    <div class="control" data-nnw-control={control}>
      <span class="name"><span id={id} class={bare ? "hidden" : undefined}>{label}</span>{!bare && <HelpButton control={control} label={label} choice={choices.find((each) => each.value === value)} />}</span>
      <div class="seg" role="radiogroup" aria-labelledby={id}>
        {choices.map((each) => (
          <label key={String(each.value)} class={each.disabled ? "off" : ""} title={each.disabled || each.help?.what}>
            <input type="radio" name={id} value={String(each.value)} checked={each.value === value} disabled={Boolean(each.disabled)} onChange={onChange} />
            <span>{each.label}</span>
          </label>
        ))}
      </div>
    </div>
  );
}
