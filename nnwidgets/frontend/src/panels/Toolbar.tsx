import { CommandButton } from "../controls/Button";
import { useLab } from "../lab";
import { Bar } from "../shell/Bar";
import type { Size } from "../shell/MenuParts";
import type { Word } from "../shell/Shell";
import { strings } from "../strings";
import { Menu } from "./Menu";

export function Toolbar({ word, ...size }: Size & { word: Word }) {
  const store = useLab();
  const about = store.get("about");
  const history = store.get("history");
  return (
    <Bar title={about?.title || strings.name} subtitle={about?.subtitle} word={word}>
      <CommandButton command="undo" disabled={!history?.can_undo}>{strings.undo}</CommandButton>
      <CommandButton command="redo" disabled={!history?.can_redo}>{strings.redo}</CommandButton>
      <CommandButton command="reset" disabled={!history?.can_reset}>{strings.reset}</CommandButton>
      <Menu {...size} />
    </Bar>
  );
}
