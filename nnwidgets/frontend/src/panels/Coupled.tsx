import { useLab } from "../lab";
import { strings } from "../strings";

const UNITS = new Set(["filter", "neuron", "head"]);

/** What goes with the units of the chosen layer, and why; or why it has none that can go. Only where whole units are removed. */
export function Coupled() {
  const store = useLab();
  const chosen = store.value("selected_layer", "");
  const layer = (store.get("layers") ?? []).find((each) => each.name === chosen);
  const coupled = layer?.coupled ?? [];
  if (!layer || !UNITS.has(store.value("structure", "weight")) || (coupled.length === 0 && !layer.refused)) return null;
  const reasons = coupled.flatMap((part) => part.names.map((name, i) => `${name}: ${part.why[i] ?? ""}`));
  return (
    <section class="card coupled" aria-label={strings.coupled(layer.label)} data-nnw-coupled={layer.name}>
      <h3>{layer.refused ? strings.notCoupled(layer.label) : strings.coupled(layer.label)}</h3>
      {layer.refused ? <p class="cap">{layer.refused}</p> : (
        <>
          {coupled.map((part) => (
            <p key={part.what}><span class="cap">{part.what}</span> {part.names.map((name, i) => (
              <span key={name} class="chip" title={`${name} ${part.why[i] ?? ""}`}>{name}</span>
            ))}</p>
          ))}
          <details>
            <summary class="cap">{strings.whyCoupled}</summary>
            <ul class="cap">{reasons.map((line) => <li key={line}>{line}</li>)}</ul>
          </details>
        </>
      )}
    </section>
  );
}
