import { useState } from "preact/hooks";
import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { useLab } from "../lab";
import { Progress } from "../shell/Progress";
import { strings } from "../strings";
import { Panel } from "./Panel";

/** Static rounding against training with it, at each bit width. */
export function FewerBits() {
  const store = useLab();
  const [open, setOpen] = useState(false);
  const view = store.get("bits_view");
  if (!view?.words) return null;
  const task = store.get("task") ?? null;
  const last = store.get("last_task");
  const chart = store.shown.charts["bits"];
  const [head, ...lines] = view.words;
  return (
    <details class="card bits" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary><h3>{strings.fewerBits}</h3><span class="cap">{strings.fewerBitsHint}</span></summary>
      {open && (
        <>
          {view.refused ? <p class="cap" data-nnw-plan="refused">{view.refused}</p> : (
            <>
              <div class="choices">
                <NumberInput control="bits_seeds" label={strings.seeds} value={store.value("bits_seeds", 2)} min={1} max={10} step={1} whole onValue={(v) => store.set("bits_seeds", v)} />
                <NumberInput control="bits_epochs" label={strings.epochs} value={store.value("bits_epochs", 1)} min={1} max={20} step={1} whole onValue={(v) => store.set("bits_epochs", v)} />
                <CommandButton command="bits_run" className="main" disabled={Boolean(task)}>{strings.bitsRun}</CommandButton>
              </div>
              <p class="cap" data-nnw-plan="ready">{view.plan}</p>
            </>
          )}
          {task?.name === "bits" && <Progress task={task} />}
          {!task && last?.name === "bits" && <p class={`cap r-${last.role ?? "muted"}`}>{last.text}</p>}
          {chart && view.drawn && <Panel name="bits" chart={chart} below={<p class="cap">{chart.description}</p>} />}
          {head && <div class="verdict"><p><b>{head}</b></p><ul>{lines.map((line) => <li key={line}>{line}</li>)}</ul></div>}
        </>
      )}
    </details>
  );
}
