import { useState } from "preact/hooks";
import { CommandButton } from "../controls/Button";
import { Popover } from "../controls/Popover";
import { useStore } from "../controls/useStore";
import { copy } from "../clipboard";
import { strings } from "../strings";

function Snapshots({ close }: { close: () => void }) {
  const store = useStore();
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

function Code() {
  const store = useStore();
  const [failed, setFailed] = useState(false);
  const code = store.get("code") ?? "";
  const onCopy = async (): Promise<void> => {
    const done = await copy(code);
    setFailed(!done);
    store.say(done ? strings.copied : strings.copyFailed);
  };
  return (
    <>
      <h3>{strings.code}</h3>
      <button type="button" data-nnw-action="copy_code" onClick={onCopy}>{strings.copyCode}</button>
      {failed && <><p class="cap">{strings.copyFailed}</p><textarea readOnly rows={6} aria-label={strings.code} value={code} onFocus={(e) => e.currentTarget.select()} /></>}
    </>
  );
}

export function Menu({ large, onLarge }: { large: boolean; onLarge: (large: boolean) => void }) {
  return (
    <Popover className="icon" label={strings.more} name={strings.more} action="menu" text={<span aria-hidden="true">⋯</span>}>
      {(close) => (
        <div class="menu">
          <Snapshots close={close} />
          <Code />
          <h3>{strings.figure}</h3>
          <div class="row start">
            {(["svg", "png", "pdf"] as const).map((format) => (
              <CommandButton key={format} command="figure" args={{ format }} label={`${strings.figure} ${format.toUpperCase()}`}>{format.toUpperCase()}</CommandButton>
            ))}
          </div>
          <h3>{strings.measure}</h3>
          <CommandButton command="measure_disk" onDone={close}>{strings.measureDisk}</CommandButton>
          <h3>{strings.screen}</h3>
          <label class="check" data-nnw-action="large"><input type="checkbox" checked={large} onChange={(e) => onLarge(e.currentTarget.checked)} /> {strings.large}</label>
        </div>
      )}
    </Popover>
  );
}
