// What every widget's menu holds: the code of what is on the screen, the figure, the size of type.
import { useState } from "preact/hooks";
import { copy } from "../clipboard";
import { CommandButton } from "../controls/Button";
import { useStore } from "../controls/useStore";
import { strings } from "../strings";

export function Code() {
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

export function SaveFigure() {
  return (
    <>
      <h3>{strings.figure}</h3>
      <div class="row start">
        {(["svg", "png", "pdf"] as const).map((format) => (
          <CommandButton key={format} command="figure" args={{ format }} label={`${strings.figure} ${format.toUpperCase()}`}>{format.toUpperCase()}</CommandButton>
        ))}
      </div>
    </>
  );
}

export interface Size {
  large: boolean;
  onLarge: (large: boolean) => void;
}

export function Screen({ large, onLarge }: Size) {
  return (
    <>
      <h3>{strings.screen}</h3>
      <label class="check" data-nnw-action="large"><input type="checkbox" checked={large} onChange={(e) => onLarge(e.currentTarget.checked)} /> {strings.large}</label>
    </>
  );
}
