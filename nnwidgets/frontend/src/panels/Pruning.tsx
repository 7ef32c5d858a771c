import { allocations, byHand, BY_HAND } from "../choices";
import { continuous, percent } from "../controls/positions";
import { Segmented } from "../controls/Segmented";
import { Select } from "../controls/Select";
import { Slider } from "../controls/Slider";
import { useLab } from "../lab";
import { strings } from "../strings";
import type { Value } from "../wire";

const SHARE = continuous(0, 0.99, 0.01);

export function Pruning({ onByHand }: { onByHand: () => void }) {
  const store = useLab();
  const options = store.get("options") ?? {};
  const structure = store.value("structure", "weight");
  const sparsity = store.value("sparsity", 0);
  const allocation = store.value("allocation", "global");
  const hand = typeof allocation === "object";
  const spread = (value: Value): void => {
    if (value !== BY_HAND) return store.write("allocation", String(value), { discrete: true });
    if (!hand) store.write("allocation", byHand(store.get("layer_rows") ?? [], store.get("layers") ?? [], structure), { discrete: true });
    onByHand();
  };
  return (
    <section class="card" aria-label={strings.pruning}>
      <h3>{strings.pruning}</h3>
      <Slider control="sparsity" label={strings.sparsity} range={SHARE} value={sparsity} disabled={hand}
        text={hand ? strings.byLayer : percent(sparsity)} onValue={(v) => store.write("sparsity", v)} />
      {options.structure && <Segmented control="structure" label={strings.structure} choices={options.structure} value={structure}
        onValue={(v) => store.write("structure", String(v), { discrete: true })} />}
      {options.criterion && <Select control="criterion" label={strings.criterion} choices={options.criterion} value={store.value("criterion", "magnitude")}
        onValue={(v) => store.write("criterion", String(v), { discrete: true })} />}
      {options.norm && structure === "filter" && <Segmented control="norm" label={strings.norm} choices={options.norm} value={store.value("norm", 1)}
        onValue={(v) => store.write("norm", Number(v), { discrete: true })} />}
      <Segmented control="allocation" label={strings.allocation} choices={allocations(options.allocation)} value={hand ? BY_HAND : String(allocation)} onValue={spread} />
    </section>
  );
}
