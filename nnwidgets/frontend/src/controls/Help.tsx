import { strings } from "../strings";
import type { Help as Text } from "../wire";
import { Popover } from "./Popover";
import { useStore } from "./useStore";

/** The "?" beside a control: what it does, its formula, its source. */
export function HelpButton({ control, label, text }: { control: string; label: string; text?: Text | undefined }) {
  const store = useStore();
  const help = text ?? store.get("help")?.[control];
  if (!help?.what) return null;
  return (
    <Popover className="help" label={label} name={strings.help(label)} text="?">
      {() => (
        <div class="explain">
          <h3>{label}</h3>
          <p>{help.what}</p>
          {help.formula && <p><span class="cap">{strings.formula}</span><code>{help.formula}</code></p>}
          {help.source && <p><span class="cap">{strings.source}</span>{help.source}</p>}
        </div>
      )}
    </Popover>
  );
}
