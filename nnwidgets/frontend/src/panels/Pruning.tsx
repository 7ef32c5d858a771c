import { allocations, byHand, BY_HAND, pattern } from "../choices";
import { CommandButton } from "../controls/Button";
import { continuous, discrete, percent } from "../controls/positions";
import { HelpButton } from "../controls/Help";
import { Segmented } from "../controls/Segmented";
import { Select } from "../controls/Select";
import { Slider } from "../controls/Slider";
import { useLab } from "../lab";
import { strings } from "../strings";
import type { Value } from "../wire";

const AT_START = new Set(["snip", "grasp"]);
const SHARE = continuous(0, 0.99, 0.01);

/** A criterion that looks at images first: how far it is. */
function Scoring() {
  const scoring = useLab().get("scoring") ?? null;
  if (!scoring) return null;
  const done = Math.round(100 * Math.min(1, Math.max(0, scoring.progress)));
  return (
    <div class="task scoring" data-nnw-task="scoring">
      <div class="track" role="progressbar" aria-label={scoring.text} aria-valuemin={0} aria-valuemax={100} aria-valuenow={done}><i style={{ width: `${done}%` }} /></div>
      <div class="row">
        <span class="cap">{scoring.text}</span>
        {scoring.can_cancel && <CommandButton command="cancel_scoring">{strings.cancel}</CommandButton>}
      </div>
    </div>
  );
}

export function Pruning({ onByHand }: { onByHand: () => void }) {
  const store = useLab();
  const options = store.get("options") ?? {};
  const structure = store.value("structure", "weight");
  const sparsity = store.value("sparsity", 0);
  const allocation = store.value("allocation", "global");
  const criterion = store.value("criterion", "magnitude");
  const hand = typeof allocation === "object";
  const kept = pattern(structure);
  const spread = (value: Value): void => {
    if (value !== BY_HAND) return store.write("allocation", String(value), { discrete: true });
    if (!hand) store.write("allocation", byHand(store.get("layer_rows") ?? [], store.get("layers") ?? [], structure), { discrete: true });
    onByHand();
  };
  const ranked = structure !== "weight" && !kept && criterion === "magnitude";
  return (
    <section class="card" aria-label={strings.pruning}>
      <h3>{strings.pruning}</h3>
      <Slider control="sparsity" label={strings.sparsity} range={kept ? discrete([0, 1 - kept[0] / kept[1]]) : SHARE} value={sparsity} disabled={hand}
        text={hand ? strings.byLayer : percent(sparsity)} onValue={(v) => store.write("sparsity", v)} />
      {options.structure && <Select control="structure" label={strings.structure} choices={options.structure} value={structure}
        onValue={(v) => store.write("structure", String(v), { discrete: true })} />}
      {options.criterion && <Select control="criterion" label={strings.criterion} choices={options.criterion} value={criterion}
        onValue={(v) => store.write("criterion", String(v), { discrete: true })} />}
      <Scoring />
      {AT_START.has(criterion) && (
        <div class="row at-start">
          <span class="cap">{strings.forUntrained}</span>
          <span class="name"><CommandButton command="start_untrained" disabled={!!store.get("task")}>{strings.startUntrained}</CommandButton>
            <HelpButton control="start_untrained" label={strings.startUntrained} /></span>
        </div>
      )}
      {options.norm && ranked && <Segmented control="norm" label={strings.norm} choices={options.norm} value={store.value("norm", 1)}
        onValue={(v) => store.write("norm", Number(v), { discrete: true })} />}
      <Select control="allocation" label={strings.allocation} choices={allocations(options.allocation)} value={hand ? BY_HAND : String(allocation)} onValue={spread} />
    </section>
  );
}
