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
  onValue: (value: Value) => void;
}

export function Select({ control, label, choices, value, onValue }: Props) {
  const id = useRef(uid()).current;
  const onChange = (event: JSX.TargetedEvent<HTMLSelectElement>): void => {
    const chosen = choices.find((each) => String(each.value) === event.currentTarget.value);
    if (chosen) onValue(chosen.value);
  };
  return (
    <div class="control" data-nnw-control={control}>
      <span class="name"><label for={id}>{label}</label><HelpButton control={control} label={label} choice={choices.find((each) => each.value === value)} /></span>
      <select id={id} value={String(value)} onChange={onChange}>
        {choices.map((each) => (
          <option key={String(each.value)} value={String(each.value)} disabled={Boolean(each.disabled)} title={each.disabled}>{each.label}</option>
        ))}
      </select>
    </div>
  );
}
