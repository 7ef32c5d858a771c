import { CommandButton } from "../controls/Button";
import { NumberInput } from "../controls/NumberInput";
import { Segmented } from "../controls/Segmented";
import { useLab } from "../lab";
import { strings } from "../strings";
import type { LotteryView } from "../wire";
import { Outcome, RunCard } from "./RunCard";

/** What a lottery of this network takes, and the button that runs it. */
function Own({ view }: { view: LotteryView }) {
  const store = useLab();
  if (view.refused) return <p class="cap" data-nnw-plan="refused">{view.refused}</p>;
  return (
    <>
      <div class="choices">
        <NumberInput control="lottery_rounds" label={strings.rounds} value={store.value("lottery_rounds", 3)} min={1} max={15} step={1} whole onValue={(v) => store.set("lottery_rounds", v)} />
        <NumberInput control="lottery_seeds" label={strings.seeds} value={store.value("lottery_seeds", 2)} min={1} max={10} step={1} whole onValue={(v) => store.set("lottery_seeds", v)} />
        <NumberInput control="lottery_epochs" label={strings.epochs} value={store.value("lottery_epochs", 2)} min={1} max={50} step={1} whole onValue={(v) => store.set("lottery_epochs", v)} />
        <NumberInput control="lottery_rewind" label={strings.rewind} value={store.value("lottery_rewind", 0)} min={0} max={100000} step={1} whole onValue={(v) => store.set("lottery_rewind", v)} />
        <CommandButton command="lottery_run" className="main" disabled={Boolean(store.get("task"))}>{strings.lotteryRun}</CommandButton>
      </div>
      <p class="cap" data-nnw-plan="ready">{view.plan}</p>
    </>
  );
}

/** Winning tickets: the recorded lottery, or one of the network that is shown. */
export function Lottery() {
  const store = useLab();
  const view = store.get("lottery_view");
  if (!view?.sources) return null;
  const source = store.value("lottery_source", "recorded");
  return (
    <RunCard name="lottery" title={strings.lottery} hint={strings.lotteryHint}>
      <div class="choices">
        <Segmented control="lottery_source" label={strings.lotterySource} choices={view.sources} value={source} bare onValue={(v) => store.set("lottery_source", String(v))} />
        <Segmented control="lottery_measure" label={strings.lotteryMeasure} choices={view.measures} value={store.value("lottery_measure", "stop_step")} bare
          onValue={(v) => store.set("lottery_measure", String(v))} />
      </div>
      {source === "own" && <Own view={view} />}
      <Outcome name="lottery" view={view} ended={source === "own"} />
      {view.recorded && <p class="cap">{view.recorded}</p>}
    </RunCard>
  );
}
