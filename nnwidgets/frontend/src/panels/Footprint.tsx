import { useLab } from "../lab";
import { strings } from "../strings";
import { Panel } from "./Panel";

/** All visited states in the plane of footprint and quality; what the footprint is can be chosen. */
export function Footprint() {
  const store = useLab();
  const chart = store.shown.charts["pareto"];
  const choices = store.get("options")?.merit;
  if (!choices) return <Panel name="pareto" chart={chart} />;
  const merit = store.value("merit", "size");
  return (
    <Panel name="pareto" chart={chart} title={strings.against} choice={choices.find((each) => each.value === merit)}>
      <span class="control" data-nnw-control="merit">
        <select aria-label={strings.merit} value={merit} onChange={(e) => store.set("merit", e.currentTarget.value)}>
          {choices.map((each) => <option key={String(each.value)} value={String(each.value)}>{each.label}</option>)}
        </select>
      </span>
    </Panel>
  );
}
