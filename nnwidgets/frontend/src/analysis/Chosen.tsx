// What can be done with the chosen image: judge its label, tag its error, look inside the network.
import { useRef, useState } from "preact/hooks";
import { words } from "../analysis_strings";
import type { TileItem } from "../analysis_wire";
import { CommandButton } from "../controls/Button";
import { uid } from "../uid";
import { useAnalysis } from "./contract";

const VERDICTS = [["keep", words.keep], ["drop", words.drop], ["relabel", words.relabel], ["", words.undecide]] as const;

function Judge({ item }: { item: TileItem }) {
  return (
    <>
      {VERDICTS.map(([verdict, text]) => (
        <CommandButton key={verdict} command="label" mark={`label ${item.id} ${verdict}`} args={{ id: item.id, verdict }}>{text}</CommandButton>
      ))}
    </>
  );
}

function TagForm({ item, used }: { item: TileItem; used: readonly string[] }) {
  const store = useAnalysis();
  const id = useRef(uid()).current;
  const [text, setText] = useState(item.mark);
  const save = (event: Event): void => {
    event.preventDefault();
    store.command("tag", { id: item.id, tag: text.trim() }, { key: `tag ${item.id}` });
  };
  return (
    <form class="row start" onSubmit={save} data-nnw-control="tag">
      <input type="text" list={id} value={text} maxLength={40} placeholder={words.tagHint} aria-label={words.tag}
        onInput={(event) => setText(event.currentTarget.value)} />
      <datalist id={id}>{used.map((tag) => <option key={tag} value={tag} />)}</datalist>
      <button type="submit" data-nnw-action="tag">{words.setTag}</button>
    </form>
  );
}

interface Props {
  panel: string;
  items: readonly TileItem[];
  chosen: TileItem | undefined;
}

export function Chosen({ panel, items, chosen }: Props) {
  if (!chosen) return <p class="cap">{words.noImage}</p>;
  const used = [...new Set(items.map((item) => item.mark).filter(Boolean))];
  return (
    <div class="chosen-image" role="group" aria-label={words.chosenImage}>
      <p><b>{chosen.label}</b> {chosen.text}{chosen.mark && <span class={`pill r-${chosen.role}`}>{chosen.mark}</span>}</p>
      <div class="row start">
        {panel === "suspects" && <Judge item={chosen} />}
        {panel === "worst" && <TagForm key={chosen.id} item={chosen} used={used} />}
        <CommandButton command="open" mark={`open ${chosen.id}`} args={{ id: chosen.id }}>{words.open}</CommandButton>
      </div>
    </div>
  );
}
