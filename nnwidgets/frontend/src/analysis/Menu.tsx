import { words } from "../analysis_strings";
import { CommandButton } from "../controls/Button";
import { Popover } from "../controls/Popover";
import { Code, SaveFigure, Screen, type Size } from "../shell/MenuParts";
import { useAnalysis } from "./contract";

function Hall() {
  const store = useAnalysis();
  const hidden = store.get("hidden") ?? false;
  return (
    <>
      <h3>{words.hall}</h3>
      <label class="check" data-nnw-action="hall">
        <input type="checkbox" checked={hidden} onChange={(event) => store.command("hall", { on: event.currentTarget.checked })} /> {words.hallOn}
      </label>
    </>
  );
}

export function Menu(size: Size) {
  return (
    <Popover className="icon" label={words.more} name={words.more} action="menu" text={<span aria-hidden="true">⋯</span>}>
      {(close) => (
        <div class="menu">
          <Code />
          <SaveFigure />
          <h3>{words.trackAsFile}</h3>
          <CommandButton command="save" args={{ what: "track" }} onDone={close}>{words.saveTrack}</CommandButton>
          <Hall />
          <Screen {...size} />
        </div>
      )}
    </Popover>
  );
}
