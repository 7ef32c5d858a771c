import { CommandButton } from "../controls/Button";
import { useStore } from "../controls/useStore";
import { strings } from "../strings";
import { Menu } from "./Menu";

export type Word = "starting" | "computing" | "exact" | "error" | "disconnected";

interface Props {
  word: Word;
  large: boolean;
  onLarge: (large: boolean) => void;
}

export function Toolbar({ word, large, onLarge }: Props) {
  const store = useStore();
  const about = store.get("about");
  const history = store.get("history");
  return (
    <header class="bar">
      <h2>{about?.title || strings.name}</h2>
      <span class="cap sub">{about?.subtitle}</span>
      <span class="sp" />
      <span class={`status ${word}`} data-nnw-word={word}><i aria-hidden="true" />{strings[word]}</span>
      <span class="row start">
        <CommandButton command="undo" disabled={!history?.can_undo}>{strings.undo}</CommandButton>
        <CommandButton command="redo" disabled={!history?.can_redo}>{strings.redo}</CommandButton>
        <CommandButton command="reset" disabled={!history?.can_reset}>{strings.reset}</CommandButton>
        <Menu large={large} onLarge={onLarge} />
      </span>
    </header>
  );
}
