import { useLab } from "../lab";
import { strings } from "../strings";
import { Coupled } from "./Coupled";
import { Footprint } from "./Footprint";
import { Panel } from "./Panel";
import { ScanButton, Sensitivity } from "./Sensitivity";

function LayerChoice() {
  const store = useLab();
  const layers = store.get("layers") ?? [];
  return (
    <span class="control" data-nnw-control="selected_layer">
      <select aria-label={strings.selectedLayer} value={store.value("selected_layer", "")} onChange={(e) => store.set("selected_layer", e.currentTarget.value)}>
        {layers.map((layer) => <option key={layer.name} value={layer.name}>{layer.label || layer.name}</option>)}
      </select>
    </span>
  );
}

export function Charts({ choose }: { choose: (id: string) => void }) {
  const store = useLab();
  const { charts } = store.shown;
  return (
    <>
      <div class="pair">
        <Footprint />
        <Panel name="histogram" chart={charts["histogram"]} title={strings.weightsOf}><LayerChoice /></Panel>
      </div>
      <Panel name="layers" chart={charts["layers"]} selected={store.value("selected_layer", "")} onSelect={choose}><ScanButton /></Panel>
      <Coupled />
      <Sensitivity />
    </>
  );
}
