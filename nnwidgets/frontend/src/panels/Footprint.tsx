import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { NumberInput } from "../controls/NumberInput";
import { useLab } from "../lab";
import { Progress } from "../shell/Progress";
import { strings } from "../strings";
import { Panel } from "./Panel";

/** Looks for the smallest network that meets the goal; how far it is, and what came of it. */
function Search() {
  const store = useLab();
  const task = store.get("task") ?? null;
  const last = store.get("last_task");
  return (
    <div class="search">
      <div class="tune">
        <span class="name"><CommandButton command="search" disabled={task !== null}>{strings.search}</CommandButton>
          <HelpButton control="search" label={strings.search} /></span>
        <NumberInput control="budget" label={strings.budget} value={store.value("budget", 30)} min={1} max={3600} step={1} whole onValue={(v) => store.set("budget", v)} />
      </div>
      {task?.name === "search" && <Progress task={task} />}
      {!task && last?.name === "search" && <p class={`cap r-${last.role ?? "muted"}`}>{last.text}</p>}
    </div>
  );
}

/** All visited states in the plane of footprint and quality; what the footprint is can be chosen. */
export function Footprint() {
  const store = useLab();
  const chart = store.shown.charts["pareto"];
  const choices = store.get("options")?.merit;
  if (!choices) return <Panel name="pareto" chart={chart} />;
  const merit = store.value("merit", "size");
  return (
    <Panel name="pareto" chart={chart} title={strings.against} choice={choices.find((each) => each.value === merit)} below={<Search />}>
      <span class="control" data-nnw-control="merit">
        <select aria-label={strings.merit} value={merit} onChange={(e) => store.set("merit", e.currentTarget.value)}>
          {choices.map((each) => <option key={String(each.value)} value={String(each.value)}>{each.label}</option>)}
        </select>
      </span>
    </Panel>
  );
}
