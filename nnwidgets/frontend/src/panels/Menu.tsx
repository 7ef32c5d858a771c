import { useState } from "preact/hooks";
import { CommandButton } from "../controls/Button";
import { Popover } from "../controls/Popover";
import { useLab } from "../lab";
import { Code, SaveFigure, Screen, type Size } from "../shell/MenuParts";
import { strings } from "../strings";

function Snapshots({ close }: { close: () => void }) {
  const store = useLab();
  const [name, setName] = useState("");
  const saved = store.get("history")?.snapshots ?? [];
  const save = (event: Event): void => {
    event.preventDefault();
    if (!name.trim()) return;
    store.command("snapshot_save", { name: name.trim() });
    setName("");
  };
  return (
    <>
      <h3>{strings.snapshots}</h3>
      <form class="row" onSubmit={save}>
        <input type="text" value={name} maxLength={60} placeholder={strings.snapshotHint} aria-label={strings.snapshotName} onInput={(e) => setName(e.currentTarget.value)} />
        <button type="submit" data-nnw-action="snapshot_save" aria-disabled={!name.trim()}>{strings.save}</button>
      </form>
      {saved.length === 0 ? <p class="cap">{strings.snapshotNone}</p> : (
        <ul>
          {saved.map((each) => (
            <li key={each.name} class="row">
              <span class="grow"><b>{each.name}</b> <span class="cap">{each.text}</span></span>
              <CommandButton command="snapshot_load" args={{ name: each.name }} label={strings.loadSnapshot(each.name)} onDone={close}>{strings.load}</CommandButton>
              <CommandButton command="snapshot_delete" args={{ name: each.name }} label={strings.deleteSnapshot(each.name)}>{strings.remove}</CommandButton>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

export function Menu(size: Size) {
  return (
    <Popover className="icon" label={strings.more} name={strings.more} action="menu" text={<span aria-hidden="true">⋯</span>}>
      {(close) => (
        <div class="menu">
          <Snapshots close={close} />
          <Code />
          <SaveFigure />
          <h3>{strings.measure}</h3>
          <CommandButton command="measure_disk" onDone={close}>{strings.measureDisk}</CommandButton>
          <Screen {...size} />
        </div>
      )}
    </Popover>
  );
}
