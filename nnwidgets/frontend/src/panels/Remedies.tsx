import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { Segmented } from "../controls/Segmented";
import { useLab } from "../lab";
import { strings } from "../strings";
import { Outcome, RunCard } from "./RunCard";

/** What makes up for rounding without training: switches, and what each gains on its own. */
export function Remedies() {
  const store = useLab();
  const view = store.get("remedies_view");
  const options = store.get("options") ?? {};
  if (!view?.words) return null;
  return (
    <RunCard name="remedies" title={strings.remedies} hint={strings.remediesHint}>
      <div class="choices">
        {options.equalize && <Segmented control="equalize" label={strings.equalize} choices={options.equalize}
          value={store.value("equalize", false)} onValue={(v) => store.write("equalize", Boolean(v), { discrete: true })} />}
        {options.bias_correction && <Segmented control="bias_correction" label={strings.biasCorrection} choices={options.bias_correction}
          value={store.value("bias_correction", false)} onValue={(v) => store.write("bias_correction", Boolean(v), { discrete: true })} />}
        {options.rounding && <Segmented control="rounding" label={strings.roundingWay} choices={options.rounding}
          value={store.value("rounding", "nearest")} onValue={(v) => store.write("rounding", String(v), { discrete: true })} />}
      </div>
      {view.refused ? <p class="cap" data-nnw-plan="refused">{view.refused}</p> : (
        <div class="choices">
          <span class="name"><CommandButton command="remedies_run" className="main" disabled={Boolean(store.get("task"))}>{strings.remediesRun}</CommandButton>
            <HelpButton control="remedies" label={strings.remedies} /></span>
          <p class="cap" data-nnw-plan="ready">{view.plan}</p>
        </div>
      )}
      <Outcome name="remedies" view={view} />
    </RunCard>
  );
}
