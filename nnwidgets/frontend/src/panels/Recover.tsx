import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { HelpButton } from "../controls/Help";
import { useStore } from "../controls/useStore";
import { strings } from "../strings";
import type { Task } from "../wire";

function Progress({ task }: { task: Task }) {
  const percent = Math.round(Math.min(1, Math.max(0, task.progress || 0)) * 100);
  return (
    <div class="task" data-nnw-task={task.name}>
      <div class="track" role="progressbar" aria-label={task.label || strings.task} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent} aria-valuetext={task.text || `${percent} %`}>
        <i style={{ width: `${percent}%` }} />
      </div>
      <div class="row">
        <span class="cap"><b>{task.label}</b> {task.text}</span>
        <CommandButton command="cancel">{strings.cancel}</CommandButton>
      </div>
      {task.chart && <ChartView name="loss" chart={task.chart} />}
    </div>
  );
}

export function Recover() {
  const store = useStore();
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
      {task && <Progress task={task} />}
      {!task && last?.text && <p class={`cap r-${last.role ?? "muted"}`}>{last.text}</p>}
    </section>
  );
}
