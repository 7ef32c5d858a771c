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
          <div class="row start">
            <CommandButton command="save" args={{ what: "track" }} onDone={close}>{words.saveTrack}</CommandButton>
            <CommandButton command="save" mark="save recording" args={{ what: "recording" }} onDone={close}>{words.saveRecording}</CommandButton>
          </div>
          <Hall />
          <Screen {...size} />
        </div>
      )}
    </Popover>
  );
}
