import { ChartView } from "../chart/Chart";
import { HelpButton } from "../controls/Help";
import { strings } from "../strings";
import type { Chart, Choice } from "../wire";

interface PanelProps {
  name: keyof typeof strings.charts;
  chart: Chart | undefined;
  title?: string; // instead of the chart's own
  choice?: Choice | undefined; // explained with it
  children?: preact.ComponentChildren;
  below?: preact.ComponentChildren;
  selected?: string;
  onSelect?: (id: string) => void;
}

/** A chart with its name, its help and what belongs beside it; `below` stands under the drawing. */
export function Panel({ name, chart, title, choice, children, below, selected, onSelect }: PanelProps) {
  const named = chart?.title ?? strings.charts[name];
  return (
    <section class={`card panel ${name}`} aria-label={named}>
      <div class="row head"><span class="name"><h3>{title ?? named}</h3></span>{children}<HelpButton control={name} label={named} choice={choice} /></div>
      {chart ? <ChartView name={name} chart={chart} selected={selected} onSelect={onSelect} /> : <div class="waiting"><i /></div>}
      {below}
    </section>
  );
}
