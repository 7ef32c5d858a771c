import { HelpButton } from "./Help";

interface Props {
  control: string;
  label: string;
  value: boolean;
  className?: string;
  onValue: (value: boolean) => void;
}

/** A box to tick, with its explanation. */
export function Check({ control, label, value, className = "", onValue }: Props) {
  return (
    <span class={`control tick ${className}`} data-nnw-control={control}>
      <label class="check"><input type="checkbox" checked={value} onChange={(event) => onValue(event.currentTarget.checked)} /> {label}</label>
      <HelpButton control={control} label={label} />
    </span>
  );
}
