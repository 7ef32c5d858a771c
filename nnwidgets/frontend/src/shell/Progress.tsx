import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { strings } from "../strings";
import type { Task } from "../wire";

/** Long work: how far it is, what is left, and the way to end it. */
export function Progress({ task }: { task: Task }) {
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
