import { IN_ITS_CARD } from "../choices";
import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { HelpButton } from "../controls/Help";
import { useLab } from "../lab";
import { Progress } from "../shell/Progress";
import { strings } from "../strings";
import { Rounds } from "./Rounds";

export function Recover() {
  const store = useLab();
  const task = store.get("task") ?? null;
  const last = store.get("last_task");
  return (
    <section class="card recover" aria-label={strings.recover}>
      <h3>{strings.recover}</h3>
      <div class="tune">
        <span class="name"><CommandButton command="fine_tune" className="main" disabled={task !== null}>{strings.fineTune}</CommandButton>
          <HelpButton control="fine_tune" label={strings.fineTune} /></span>
        <NumberInput control="epochs" label={strings.epochs} value={store.value("epochs", 3)} min={1} max={50} step={1} whole onValue={(v) => store.set("epochs", v)} />
        <NumberInput control="learning_rate" label={strings.learningRate} value={store.value("learning_rate", 0.001)} min={1e-6} max={1} step="any"
          onValue={(v) => store.set("learning_rate", v)} />
      </div>
      {store.get("about")?.batch_norm && (
        <div class="tune again">
          <span class="name"><CommandButton command="recalibrate" disabled={task !== null}>{strings.recalibrate}</CommandButton>
            <HelpButton control="recalibrate" label={strings.recalibrate} /></span>
          <span class="cap">{strings.noTraining}</span>
        </div>
      )}
      <Rounds />
      {task && !IN_ITS_CARD.has(task.name) && <Progress task={task} />}
      {!task && last?.text && !IN_ITS_CARD.has(last.name ?? "") && <p class={`cap r-${last.role ?? "muted"}`}>{last.text}</p>}
    </section>
  );
}
