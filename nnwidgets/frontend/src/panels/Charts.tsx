import { ChartView } from "../chart/Chart";
import { HelpButton } from "../controls/Help";
import { useStore } from "../controls/useStore";
import { strings } from "../strings";
import type { Chart } from "../wire";

interface PanelProps {
  name: keyof typeof strings.charts;
  chart: Chart | undefined;
  title?: string; // instead of the chart's own
  children?: preact.ComponentChildren;
  selected?: string;
  onSelect?: (id: string) => void;
}

function Panel({ name, chart, title, children, selected, onSelect }: PanelProps) {
  const named = chart?.title ?? strings.charts[name];
  return (
    <section class={`card panel ${name}`} aria-label={named}>
      <div class="row head"><span class="name"><h3>{title ?? named}</h3></span>{children}<HelpButton control={name} label={named} /></div>
      {chart ? <ChartView name={name} chart={chart} selected={selected} onSelect={onSelect} /> : <div class="waiting"><i /></div>}
    </section>
  );
}

function LayerChoice() {
  const store = useStore();
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
  const store = useStore();
  const { charts } = store.shown;
  return (
    <>
      <div class="pair">
        <Panel name="pareto" chart={charts["pareto"]} />
        <Panel name="histogram" chart={charts["histogram"]} title={strings.weightsOf}><LayerChoice /></Panel>
      </div>
      <Panel name="layers" chart={charts["layers"]} selected={store.value("selected_layer", "")} onSelect={choose} />
    </>
  );
}
