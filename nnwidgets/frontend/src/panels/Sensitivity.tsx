import { CommandButton } from "../controls/Button";
import { useLab } from "../lab";
import { strings } from "../strings";
import { Panel } from "./Panel";

/** Asks for the scan; quiet, for it takes seconds. */
export function ScanButton() {
  const store = useLab();
  const again = store.shown.charts["sensitivity"] !== undefined;
  return (
    <CommandButton command="scan_layers" className="link" disabled={Boolean(store.get("task"))}>
      {again ? strings.scanAgain : strings.scanLayers}
    </CommandButton>
  );
}

/** What each layer loses alone; there only once it was asked for. The same in words, for the keyboard and screen readers. */
export function Sensitivity() {
  const store = useLab();
  const chart = store.shown.charts["sensitivity"];
  if (!chart) return null;
  const said = chart.series.flatMap((s) => (s.type === "bars" || s.type === "points" ? (s.titles ?? []) : []));
  return (
    <Panel name="sensitivity" chart={chart} below={
      <details>
        <summary class="cap">{strings.asText}</summary>
        <p class="cap">{chart.description}</p>
        <ul class="cap">{said.map((line) => <li key={line}>{line}</li>)}</ul>
      </details>
    } />
  );
}
