import { strings } from "../strings";
import type { Choice, Help as Text } from "../wire";
import { Popover } from "./Popover";
import { useStore } from "./useStore";

interface Props {
  control: string;
  label: string;
  text?: Text | undefined;
  choice?: Choice | undefined; // what is chosen now: explained too
}

function Told({ help }: { help: Text }) {
  return (
    <>
      <p>{help.what}</p>
      {help.formula && <p><span class="cap">{strings.formula}</span><code>{help.formula}</code></p>}
      {help.source && <p><span class="cap">{strings.source}</span>{help.source}</p>}
    </>
  );
}

/** The "?" beside a control: what it does, its formula, its source; then the same of what is chosen. */
export function HelpButton({ control, label, text, choice }: Props) {
  const store = useStore();
  const help = text ?? store.get("help")?.[control];
  if (!help?.what) return null;
  return (
    <Popover className="help" label={label} name={strings.help(label)} text="?">
      {() => (
        <div class="explain">
          <h3>{label}</h3>
          <Told help={help} />
          {choice?.help?.what && <section data-nnw-choice={choice.value}><h4>{choice.label}</h4><Told help={choice.help} /></section>}
        </div>
      )}
    </Popover>
  );
}
