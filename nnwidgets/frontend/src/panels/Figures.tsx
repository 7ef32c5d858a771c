import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { Segmented } from "../controls/Segmented";
import { useLab } from "../lab";
import { NoteView, plain } from "../shell/Note";
import { figureName, strings } from "../strings";
import type { Figure } from "../wire";

export const MAIN = [
  { name: "accuracy", chart: "accuracy", title: strings.accuracy },
  { name: "size_encoded", chart: "size", title: strings.sizeEncoded },
  { name: "macs_nonzero", chart: "macs", title: strings.macs },
  { name: "latency", chart: "latency", title: strings.latency },
] as const;

/** What stands in a card until its first figure: cards do not jump. */
const WAITING: Figure = { raw: null, value: "…", unit: "", notes: [], role: "muted" };

interface CardProps {
  name: string;
  chart: string;
  title: string;
  figure: Figure;
}

/** One main figure: large, with its unit, what it is compared with, and a small bar. */
function FigureCard({ name, chart, title, figure }: CardProps) {
  return (
    <section class="card figure" aria-label={title}>
      <div class="row head"><h3>{title}</h3><HelpButton control={name} label={title} /></div>
      <div class={`fig r-${figure.role ?? "ink"}`} data-nnw-value={name} data-nnw-raw={plain(figure.raw)}>
        <span class="big">{figure.value}</span> <span class="unit">{figure.unit}</span>
      </div>
      {figure.bar && <ChartView name={chart} chart={figure.bar} />}
      <div class="notes">
        {figure.notes?.map((note, i) => <NoteView key={i} note={note} />)}
        {figure.action && <CommandButton command={figure.action.command} className="link">{figure.action.label}</CommandButton>}
      </div>
    </section>
  );
}

export function Figures() {
  const store = useLab();
  const { figures } = store.shown;
  return (
    <div class="figures" role="group" aria-label={strings.figures}>
      {MAIN.map(({ name, chart, title }) => {
        const figure = figures[name];
        return <FigureCard key={name} name={name} chart={chart} title={title} figure={figure ?? WAITING} />;
      })}
    </div>
  );
}

/** The figures that no card prints, in one quiet line. */
export function AllFigures() {
  const store = useLab();
  const { figures } = store.shown;
  const options = store.get("options") ?? {};
  const printed = new Set<string>(MAIN.map((each) => each.name));
  for (const { name } of MAIN) for (const note of figures[name]?.notes ?? []) if (note.name) printed.add(note.name);
  const rest = Object.entries(figures).filter(([name]) => !printed.has(name));
  return (
    <div class="strip" role="group" aria-label={strings.allFigures}>
      {options.sample && options.sample.length > 1 && <Segmented control="sample" label={strings.sample} choices={options.sample}
        value={store.value("sample", "test")} onValue={(v) => store.write("sample", String(v), { discrete: true })} />}
      {rest.map(([name, figure]) => (
        <span key={name} class="small" data-nnw-value={name} data-nnw-raw={plain(figure.raw)}>
          <span class="cap">{figureName(name)}</span> <b>{figure.value}</b> {figure.unit}
          {figure.notes?.map((note, i) => <NoteView key={i} note={note} />)}
        </span>
      ))}
    </div>
  );
}
