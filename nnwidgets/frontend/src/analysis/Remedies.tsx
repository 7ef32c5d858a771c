import { words } from "../analysis_strings";
import type { RemedyChoice } from "../analysis_wire";
import { CommandButton } from "../controls/Button";
import { Select } from "../controls/Select";
import type { Value } from "../wire";
import { useAnalysis } from "./contract";

function Remedy({ remedy, busy }: { remedy: RemedyChoice; busy: boolean }) {
  return (
    <li class="remedy" data-nnw-remedy={remedy.name}>
      <p><b>{remedy.title}</b></p>
      <p>{remedy.text} {remedy.cost && <span class="cap">{remedy.cost}</span>}</p>
      {remedy.reason && <p class="r-warn says">{remedy.reason}</p>}
      <CommandButton command="apply" mark={`apply ${remedy.name}`} args={{ remedy: remedy.name }} label={words.applyThis(remedy.title)}
        disabled={busy || Boolean(remedy.reason)} className="main">
        {words.apply}
      </CommandButton>
    </li>
  );
}

/** What can be changed, each as a paired comparison: so many seeds, each trained with and without it. */
export function Remedies({ remedies }: { remedies: readonly RemedyChoice[] }) {
  const store = useAnalysis();
  const seeds = store.get("options")?.seeds ?? [];
  const busy = Boolean(store.get("task"));
  const onSeeds = (value: Value): void => store.set("seeds", Number(value));
  return (
    <div>
      <div class="row head"><h4>{words.remedies}</h4>
        {seeds.length > 0 && <Select control="seeds" label={words.seeds} choices={seeds} value={store.value("seeds", 3)} onValue={onSeeds} />}
      </div>
      <ul>{remedies.map((remedy) => <Remedy key={remedy.name} remedy={remedy} busy={busy} />)}</ul>
    </div>
  );
}
