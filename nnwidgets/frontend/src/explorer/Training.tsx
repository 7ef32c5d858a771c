// Steps of the training, seen: charts and filters come with the panel.
import { Check } from "../controls/Check";
import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { words } from "../explorer_strings";
import { useExplorer } from "./contract";

export function Training() {
  const store = useExplorer();
  const runs = store.get("task")?.name === "training";
  return (
    <div class="train" role="group" aria-label={words.training}>
      <span class="row start">
        <CommandButton command="train_start" className="main" disabled={runs}>{words.start}</CommandButton>
        <CommandButton command="train_pause" disabled={!runs}>{words.pause}</CommandButton>
        <CommandButton command="train_step" disabled={runs}>{words.step}</CommandButton>
        <CommandButton command="train_reset">{words.reset}</CommandButton>
      </span>
      <NumberInput control="epochs" label={words.epochs} value={store.value("epochs", 1)} min={1} max={100} step={1} whole onValue={(value) => store.set("epochs", value)} />
      <NumberInput control="learning_rate" label={words.learningRate} value={store.value("learning_rate", 0.001)} min={1e-6} max={10} step="any" onValue={(value) => store.set("learning_rate", value)} />
      <Check control="fresh" label={words.fresh} value={store.value("fresh", false)} onValue={(value) => store.set("fresh", value)} />
    </div>
  );
}
