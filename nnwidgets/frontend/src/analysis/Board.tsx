// The open panel: its controls, charts, table, matrix, images.
import { useState } from "preact/hooks";
import { words } from "../analysis_strings";
import type { Cell, Panel } from "../analysis_wire";
import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { continuous, percent } from "../controls/positions";
import { Select } from "../controls/Select";
import { Slider } from "../controls/Slider";
import { NoteView, plain } from "../shell/Note";
import { Chosen } from "./Chosen";
import { useAnalysis } from "./contract";
import { Gallery } from "./Gallery";
import { MatrixView } from "./Matrix";

type Control = NonNullable<Panel["controls"]>[number];

const CONTROLS: Record<string, Control[]> = { worst: ["sample", "order", "pair"], suspects: ["threshold"], confusion: ["sample"] };
const SHARE = continuous(0, 1, 0.01);

function ControlOf({ name }: { name: Control }) {
  const store = useAnalysis();
  if (name === "threshold") {
    const value = store.value("threshold", 0.5);
    const onValue = (to: number): void => store.write("threshold", to);
    return <Slider control="threshold" label={words.threshold} range={SHARE} value={value} text={percent(value)} onValue={onValue} />;
  }
  const choices = (name === "pair" ? store.get("pairs") : store.get("options")?.[name]) ?? [];
  if (choices.length === 0) return null;
  return <Select control={name} label={words[name]} choices={choices} value={store.value(name, "")} onValue={(value) => store.set(name, String(value))} />;
}

function Table({ panel }: { panel: Panel }) {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label={panel.title}>
      <table>
        <thead><tr>{panel.columns.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
        <tbody>{panel.rows.map((row, i) => <tr key={i}>{row.map((cell, j) => <TableCell key={j} cell={cell} first={j === 0} />)}</tr>)}</tbody>
      </table>
    </div>
  );
}

function TableCell({ cell, first }: { cell: Cell; first: boolean }) {
  const mark = cell.raw === undefined ? {} : { "data-nnw-raw": plain(cell.raw) };
  const tint = `r-${cell.role ?? "ink"}`;
  return first ? <th scope="row" class={tint} {...mark}>{cell.text}</th> : <td class={tint} {...mark}>{cell.text}</td>;
}

function Images({ panel, dark }: { panel: Panel; dark: boolean }) {
  const [selected, setSelected] = useState("");
  if (!panel.tiles || panel.items.length === 0) return null;
  return (
    <div class="images">
      <Gallery label={panel.title || words.images} items={panel.items} raster={panel.tiles} dark={dark} selected={selected} onSelect={setSelected} />
      <Chosen panel={panel.name} items={panel.items} chosen={panel.items.find((item) => item.id === selected)} />
    </div>
  );
}

function Content({ panel, dark }: { panel: Panel; dark: boolean }) {
  const charts = Object.entries(panel.charts);
  return (
    <>
      {charts.length > 0 && (
        <div class={charts.length > 1 ? "charts two" : "charts"}>
          {charts.map(([name, chart]) => <div key={name}><h4>{chart.title}</h4><ChartView name={name} chart={chart} /></div>)}
        </div>
      )}
      <div class="tables">
        {panel.matrix && <MatrixView matrix={panel.matrix} title={panel.title} />}
        {panel.rows.length > 0 && <Table panel={panel} />}
      </div>
      <Images panel={panel} dark={dark} />
      {panel.notes.length > 0 && <p class="said-notes">{panel.notes.map((note, i) => <NoteView key={i} note={note} />)}</p>}
    </>
  );
}

export function Board({ dark }: { dark: boolean }) {
  const store = useAnalysis();
  const name = store.value("panel", "");
  const panel = store.shown.board;
  if (!name) return null;
  if (!panel) return <section class="card board" aria-label={words.panel} aria-busy="true"><div class="waiting"><i /></div></section>;
  const faded = panel.name !== name;
  const controls = panel.controls ?? CONTROLS[panel.name] ?? [];
  const busy = Boolean(store.get("task"));
  return (
    <section class={faded ? "card board faded" : "card board"} aria-label={panel.title} aria-busy={faded} data-nnw-panel={panel.name}>
      <div class="row head"><span class="name"><h3 class="title">{panel.title}</h3><HelpButton control={panel.name} label={panel.title} /></span>
        {panel.can_run && <CommandButton command="measure" disabled={busy} className="main">{panel.can_run}</CommandButton>}
      </div>
      {panel.text && <p>{panel.text}</p>}
      {controls.length > 0 && <div class="tools">{controls.map((each) => <ControlOf key={each} name={each} />)}</div>}
      {panel.empty ? <div class="empty"><p>{panel.empty}</p></div> : <Content key={panel.name} panel={panel} dark={dark} />}
    </section>
  );
}
