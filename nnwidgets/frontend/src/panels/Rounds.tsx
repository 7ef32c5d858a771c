import { useState } from "preact/hooks";
import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { NumberInput } from "../controls/NumberInput";
import { Select } from "../controls/Select";
import { useLab } from "../lab";
import { strings } from "../strings";

/** Remove and train in turn, by a schedule that is drawn before it runs. */
export function Rounds() {
  const store = useLab();
  const [open, setOpen] = useState(false);
  const options = store.get("options") ?? {};
  const plan = store.get("schedule_plan");
  if (!options.schedule || !plan) return null;
  const kind = store.value("schedule", "iterative");
  const stopped = Boolean(store.get("task") || plan.refused);
  const chart = store.shown.charts["schedule"];
  return (
    <details class="rounds" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{strings.inRounds} <span class="cap">{strings.inRoundsHint}</span></summary>
      {open && (
        <>
          <Select control="schedule" label={strings.schedule} choices={options.schedule} value={kind} onValue={(v) => store.set("schedule", String(v))} />
          {kind !== "one_shot" && <NumberInput control="rounds" label={strings.rounds} value={store.value("rounds", 5)} min={1} max={30} step={1} whole
            onValue={(v) => store.set("rounds", v)} />}
          {options.regrowth && <Select control="regrowth" label={strings.regrowth} choices={options.regrowth} value={store.value("regrowth", "none")}
            onValue={(v) => store.set("regrowth", String(v))} />}
          <p class="cap" data-nnw-plan={plan.refused ? "refused" : "ready"}>{plan.refused || `${plan.text}; ${plan.begins}`}</p>
          {chart && !plan.refused && <ChartView name="schedule" chart={chart} />}
          <div class="row buttons">
            <span class="name"><CommandButton command="prune_run" className="main" disabled={stopped}>{strings.pruneRun}</CommandButton>
              <HelpButton control="prune_run" label={strings.pruneRun} /></span>
            <CommandButton command="prune_step" disabled={stopped || !plan.can_step}>{strings.pruneStep}</CommandButton>
          </div>
        </>
      )}
    </details>
  );
}
