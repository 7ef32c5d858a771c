import { useState } from "preact/hooks";
import { CommandButton } from "../controls/Button";
import { useLab } from "../lab";
import { Progress } from "../shell/Progress";
import { strings } from "../strings";
import { Panel } from "./Panel";

/** The network of now in float32, bfloat16, with weights alone in few bits, and in integers: timed here. */
export function Arithmetic() {
  const store = useLab();
  const [open, setOpen] = useState(false);
  const view = store.get("arithmetic_view");
  if (!view?.words) return null;
  const task = store.get("task") ?? null;
  const last = store.get("last_task");
  const chart = store.shown.charts["arithmetic"];
  const [head, ...lines] = view.words;
  return (
    <details class="card arithmetic" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary><h3>{strings.arithmetic}</h3><span class="cap">{strings.arithmeticHint}</span></summary>
      {open && (
        <>
          {view.refused ? <p class="cap" data-nnw-plan="refused">{view.refused}</p> : (
            <div class="choices">
              <CommandButton command="arithmetic_run" className="main" disabled={Boolean(task)}>{strings.arithmeticRun}</CommandButton>
              <p class="cap" data-nnw-plan="ready">{view.plan}</p>
            </div>
          )}
          {task?.name === "arithmetic" && <Progress task={task} />}
          {!task && last?.name === "arithmetic" && <p class={`cap r-${last.role ?? "muted"}`}>{last.text}</p>}
          {chart && view.drawn && <Panel name="arithmetic" chart={chart} below={<p class="cap">{chart.description}</p>} />}
          {head && <div class="verdict"><p><b>{head}</b></p><ul>{lines.map((line) => <li key={line}>{line}</li>)}</ul></div>}
        </>
      )}
    </details>
  );
}
