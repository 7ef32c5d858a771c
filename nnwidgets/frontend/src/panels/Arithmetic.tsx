import { CommandButton } from "../controls/Button";
import { useLab } from "../lab";
import { strings } from "../strings";
import { Outcome, RunCard } from "./RunCard";

/** The network of now in float32, bfloat16, with weights alone in few bits, and in integers: timed here. */
export function Arithmetic() {
  const store = useLab();
  const view = store.get("arithmetic_view");
  if (!view?.words) return null;
  return (
    <RunCard name="arithmetic" title={strings.arithmetic} hint={strings.arithmeticHint}>
      {view.refused ? <p class="cap" data-nnw-plan="refused">{view.refused}</p> : (
        <div class="choices">
          <CommandButton command="arithmetic_run" className="main" disabled={Boolean(store.get("task"))}>{strings.arithmeticRun}</CommandButton>
          <p class="cap" data-nnw-plan="ready">{view.plan}</p>
        </div>
      )}
      <Outcome name="arithmetic" view={view} />
    </RunCard>
  );
}
