import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { useLab } from "../lab";
import { strings } from "../strings";
import { Outcome, RunCard } from "./RunCard";

/** Static rounding against training with it, at each bit width. */
export function FewerBits() {
  const store = useLab();
  const view = store.get("bits_view");
  if (!view?.words) return null;
  return (
    <RunCard name="bits" title={strings.fewerBits} hint={strings.fewerBitsHint}>
      {view.refused ? <p class="cap" data-nnw-plan="refused">{view.refused}</p> : (
        <>
          <div class="choices">
            <NumberInput control="bits_seeds" label={strings.seeds} value={store.value("bits_seeds", 2)} min={1} max={10} step={1} whole onValue={(v) => store.set("bits_seeds", v)} />
            <NumberInput control="bits_epochs" label={strings.epochs} value={store.value("bits_epochs", 1)} min={1} max={20} step={1} whole onValue={(v) => store.set("bits_epochs", v)} />
            <CommandButton command="bits_run" className="main" disabled={Boolean(store.get("task"))}>{strings.bitsRun}</CommandButton>
          </div>
          <p class="cap" data-nnw-plan="ready">{view.plan}</p>
        </>
      )}
      <Outcome name="bits" view={view} />
    </RunCard>
  );
}
