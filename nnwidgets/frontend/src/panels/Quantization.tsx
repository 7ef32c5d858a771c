import { numbers } from "../choices";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { continuous, discrete, percent } from "../controls/positions";
import { NumberInput } from "../controls/NumberInput";
import { Segmented } from "../controls/Segmented";
import { Select } from "../controls/Select";
import { Slider } from "../controls/Slider";
import { useLab } from "../lab";
import { strings } from "../strings";

const SHARE = continuous(0.05, 1, 0.01);

function Bits({ trait, label, list }: { trait: "weight_bits" | "activation_bits"; label: string; list: number[] }) {
  const store = useLab();
  const bits: number | Record<string, number> = store.value(trait, 32);
  const value = typeof bits === "number" ? bits : Math.max(...Object.values(bits));
  const text = trait === "activation_bits" && bits === 32 ? strings.notRounded : typeof bits === "number" ? strings.bits(bits) : strings.bitsByLayer;
  return <Slider control={trait} label={label} range={discrete(list)} value={value} text={text}
    onValue={(v) => store.write(trait, v)} />;
}

/** Each layer its own bits, as many on average as all have now. */
function Spread() {
  const store = useLab();
  const bits = store.value("weight_bits", 32);
  if (typeof bits !== "number" || bits === 32 || !["affine", "codebook"].includes(store.value("method", "affine"))) return null;
  return (
    <div class="row at-start">
      <span class="name"><CommandButton command="spread_bits" disabled={!!store.get("task")}>{strings.spreadBits}</CommandButton>
        <HelpButton control="spread_bits" label={strings.spreadBits} /></span>
    </div>
  );
}

/** What goes into each layer: its bits, and how its range is found. */
function Inputs({ list }: { list: number[] }) {
  const store = useLab();
  const options = store.get("options") ?? {};
  const shown = store.value("activation_bits", 32) !== 32;
  return (
    <>
      <Bits trait="activation_bits" label={strings.activationBits} list={list} />
      {shown && options.activation_symmetric && <Segmented control="activation_symmetric" label={strings.activationSymmetric} choices={options.activation_symmetric}
        value={store.value("activation_symmetric", false)} onValue={(v) => store.write("activation_symmetric", Boolean(v), { discrete: true })} />}
      {shown && options.activation_observer && <Select control="activation_observer" label={strings.activationObserver} choices={options.activation_observer}
        value={store.value("activation_observer", "minmax")} onValue={(v) => store.write("activation_observer", String(v), { discrete: true })} />}
      {shown && <NumberInput control="calibration_images" label={strings.calibrationImages} value={store.value("calibration_images", 256)} min={1} max={100000} step={1} whole
        onValue={(v) => store.write("calibration_images", v, { discrete: true })} />}
    </>
  );
}

export function Quantization() {
  const store = useLab();
  const options = store.get("options") ?? {};
  const method = store.value("method", "affine");
  const even = method === "affine"; // the others have their own rule for the range
  const scaled = method !== "codebook"; // its values are those of the whole layer
  const observer = store.value("observer", "minmax");
  const bits = numbers(options.weight_bits);
  const activation = numbers(options.activation_bits);
  const clips = store.value("activation_bits", 32) !== 32 && store.value("activation_observer", "minmax") === "percentile";
  return (
    <section class="card" aria-label={strings.quantization}>
      <h3>{strings.quantization}</h3>
      <Bits trait="weight_bits" label={strings.weightBits} list={bits.length ? bits : [32, 8, 7, 6, 5, 4, 3, 2, 1]} />
      <Spread />
      {options.method && <Select control="method" label={strings.method} choices={options.method} value={method}
        onValue={(v) => store.write("method", String(v), { discrete: true })} />}
      {options.granularity && scaled && <Segmented control="granularity" label={strings.granularity} choices={options.granularity}
        value={store.value("granularity", "channel")} onValue={(v) => store.write("granularity", String(v), { discrete: true })} />}
      {options.symmetric && even && <Segmented control="symmetric" label={strings.symmetric} choices={options.symmetric}
        value={store.value("symmetric", true)} onValue={(v) => store.write("symmetric", Boolean(v), { discrete: true })} />}
      {options.observer && options.observer.length > 1 && even && <Select control="observer" label={strings.observer} choices={options.observer}
        value={observer} onValue={(v) => store.write("observer", String(v), { discrete: true })} />}
      {observer === "hand" && even && <Slider control="range_share" label={strings.rangeShare} range={SHARE} value={store.value("range_share", 1)} text={percent(store.value("range_share", 1))}
        onValue={(v) => store.write("range_share", v)} />}
      {((observer === "percentile" && even) || clips) && <NumberInput control="percentile" label={strings.percentile} value={store.value("percentile", 99.9)} min={50.1} max={100} step={0.1}
        onValue={(v) => store.write("percentile", v, { discrete: true })} />}
      {options.power_of_two && scaled && <Segmented control="power_of_two" label={strings.powerOfTwo} choices={options.power_of_two}
        value={store.value("power_of_two", false)} onValue={(v) => store.write("power_of_two", Boolean(v), { discrete: true })} />}
      {activation.length > 1 && <Inputs list={activation} />}
    </section>
  );
}
