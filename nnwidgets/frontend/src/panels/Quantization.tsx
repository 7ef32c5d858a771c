import { numbers } from "../choices";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { discrete } from "../controls/positions";
import { NumberInput } from "../controls/NumberInput";
import { Segmented } from "../controls/Segmented";
import { Select } from "../controls/Select";
import { Slider } from "../controls/Slider";
import { useLab } from "../lab";
import { strings } from "../strings";

function Bits({ trait, label, list }: { trait: "weight_bits" | "activation_bits"; label: string; list: number[] }) {
  const store = useLab();
  const bits: number | Record<string, number> = store.value(trait, 32);
  const value = typeof bits === "number" ? bits : Math.max(...Object.values(bits));
  return <Slider control={trait} label={label} range={discrete(list)} value={value} text={typeof bits === "number" ? strings.bits(bits) : strings.bitsByLayer}
    onValue={(v) => store.write(trait, v)} />;
}

/** Each layer its own bits, as many on average as all have now. */
function Spread() {
  const store = useLab();
  const bits = store.value("weight_bits", 32);
  if (typeof bits !== "number" || bits === 32 || store.value("method", "affine") !== "affine") return null;
  return (
    <div class="row at-start">
      <span class="name"><CommandButton command="spread_bits" disabled={!!store.get("task")}>{strings.spreadBits}</CommandButton>
        <HelpButton control="spread_bits" label={strings.spreadBits} /></span>
    </div>
  );
}

export function Quantization() {
  const store = useLab();
  const options = store.get("options") ?? {};
  const method = store.value("method", "affine");
  const even = method === "affine"; // the others have their own rule for the range
  const observer = store.value("observer", "minmax");
  const bits = numbers(options.weight_bits);
  const activation = numbers(options.activation_bits);
  return (
    <section class="card" aria-label={strings.quantization}>
      <h3>{strings.quantization}</h3>
      <Bits trait="weight_bits" label={strings.weightBits} list={bits.length ? bits : [32, 8, 7, 6, 5, 4, 3, 2, 1]} />
      <Spread />
      {activation.length > 1 && <Bits trait="activation_bits" label={strings.activationBits} list={activation} />}
      {options.method && <Select control="method" label={strings.method} choices={options.method} value={method}
        onValue={(v) => store.write("method", String(v), { discrete: true })} />}
      {options.granularity && <Segmented control="granularity" label={strings.granularity} choices={options.granularity}
        value={store.value("granularity", "channel")} onValue={(v) => store.write("granularity", String(v), { discrete: true })} />}
      {options.symmetric && even && <Segmented control="symmetric" label={strings.symmetric} choices={options.symmetric}
        value={store.value("symmetric", true)} onValue={(v) => store.write("symmetric", Boolean(v), { discrete: true })} />}
      {options.observer && options.observer.length > 1 && even && <Select control="observer" label={strings.observer} choices={options.observer}
        value={observer} onValue={(v) => store.write("observer", String(v), { discrete: true })} />}
      {observer === "percentile" && even && <NumberInput control="percentile" label={strings.percentile} value={store.value("percentile", 99.9)} min={50.1} max={100} step={0.1}
        onValue={(v) => store.write("percentile", v, { discrete: true })} />}
      {options.power_of_two && <Segmented control="power_of_two" label={strings.powerOfTwo} choices={options.power_of_two}
        value={store.value("power_of_two", false)} onValue={(v) => store.write("power_of_two", Boolean(v), { discrete: true })} />}
    </section>
  );
}
