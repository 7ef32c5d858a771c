import { HelpButton } from "../controls/Help";
import { continuous, percent } from "../controls/positions";
import { Segmented } from "../controls/Segmented";
import { Slider } from "../controls/Slider";
import { useLab } from "../lab";
import { strings } from "../strings";
import type { RoundingView } from "../wire";
import { Panel } from "./Panel";

const ORDER = continuous(0, 1, 0.001);

/** What each observer loses; a row can be chosen. */
function Ranges({ rows }: { rows: RoundingView["rows"] }) {
  const store = useLab();
  const trait = store.value("rounding_of", "weights") === "inputs" ? "activation_observer" : "observer";
  const names = strings.roundingColumns;
  return (
    <table class="ranges" aria-label={strings.roundingTable}>
      <thead><tr><th scope="col">{names.range}</th><th scope="col">{names.step}</th><th scope="col">{names.sqnr}</th><th scope="col">{names.clipped}</th><th scope="col">{names.used}</th></tr></thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.value} class={row.now ? "now" : undefined}>
            <th scope="row">{row.now ? row.label : (
              <button type="button" class="link" aria-label={strings.chooseRange(row.label)} onClick={() => store.write(trait, row.value, { discrete: true })}>{row.label}</button>
            )}</th>
            <td>{row.step}</td><td>{row.sqnr}</td><td>{row.clipped}</td><td>{row.used}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The grid of the chosen layer: its ranges, its levels, its channels, and one weight followed through it. */
export function Rounding() {
  const store = useLab();
  const open = store.value("rounding_open", false);
  const view = store.get("rounding_view");
  const share = store.value("followed", 0.75);
  const { charts } = store.shown;
  const choices = store.get("options")?.rounding_of;
  return (
    <details class="card rounding" open={open} onToggle={(event) => event.currentTarget.open !== open && store.set("rounding_open", event.currentTarget.open)}>
      <summary><h3>{strings.rounding}</h3><span class="cap">{strings.roundingHint}</span></summary>
      {open && view?.rows && (
        <>
          <div class="row"><b class="layer">{view.layer}</b><HelpButton control="rounding" label={strings.rounding} /></div>
          {choices && choices.length > 1 && <Segmented control="rounding_of" label={strings.roundingOf} choices={choices} value={store.value("rounding_of", "weights")}
            onValue={(v) => store.set("rounding_of", String(v))} />}
          {view.rows.length > 0 && <Ranges rows={view.rows} />}
          {view.notes.map((note) => <p key={note} class="cap">{note}</p>)}
          {view.rows.length > 1 && charts["observers"] && <Panel name="observers" chart={charts["observers"]} below={<p class="cap">{charts["observers"].description}</p>} />}
          <div class="pair">
            {charts["occupancy"] && <Panel name="occupancy" chart={charts["occupancy"]} below={<p class="cap">{charts["occupancy"].description}</p>} />}
            {charts["ranges"] && <Panel name="ranges" chart={charts["ranges"]} below={<p class="cap">{charts["ranges"].description}</p>} />}
          </div>
          {view.steps.length > 0 && (
            <div class="followed">
              <Slider control="followed" label={strings.followed} range={ORDER} value={share} text={strings.followedAt(percent(share))} onValue={(v) => store.set("followed", v)} />
              <ol class="steps" data-nnw-steps={view.layer}>{view.steps.map((step) => <li key={step}><code>{step}</code></li>)}</ol>
            </div>
          )}
        </>
      )}
    </details>
  );
}
