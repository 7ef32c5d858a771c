// The right: one channel with its map, its cell, its figures, its filter.
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { ChartView } from "../chart/Chart";
import { CommandButton } from "../controls/Button";
import { HelpButton } from "../controls/Help";
import { useDraft } from "../controls/useDraft";
import { figureName, words } from "../explorer_strings";
import type { Raster, Tile, Unit } from "../explorer_wire";
import { NoteView, plain } from "../shell/Note";
import { uid } from "../uid";
import type { Figure } from "../wire";
import { alone } from "./alone";
import { heldChannel } from "./channels";
import { useExplorer, type ExplorerStore } from "./contract";
import { positionOf, positionText, type Cell } from "./raster";
import { Scale } from "./Scale";
import { Tiles } from "./Tiles";
import { OneCell, UnitMap } from "./UnitMap";

export const choosePosition = (store: ExplorerStore, cell: Cell | null): void => store.set("position", positionText(cell));

export function FigureList({ figures }: { figures: Record<string, Figure> }) {
  const all = Object.entries(figures);
  if (all.length === 0) return null;
  return (
    <dl class="facts">
      {all.map(([name, figure]) => (
        <div key={name} class={`r-${figure.role ?? "ink"}`}>
          <dt>{figureName(name)}<HelpButton control={name} label={figureName(name)} /></dt>
          <dd data-nnw-value={name} data-nnw-raw={plain(figure.raw)}><b>{figure.value}</b> {figure.unit}
            {figure.notes.map((note, i) => <NoteView key={i} note={note} />)}
            {figure.action && <CommandButton command={figure.action.command} className="link">{figure.action.label}</CommandButton>}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Position({ unit }: { unit: Unit }) {
  const store = useExplorer();
  const id = useRef(uid()).current;
  const held = store.value("position", "");
  const draft = useDraft();
  const onChange = (event: JSX.TargetedEvent<HTMLInputElement>): void => {
    const text = event.currentTarget.value;
    const cell = positionOf(text);
    event.currentTarget.value = held;
    draft.drop();
    if (cell || !text.trim()) choosePosition(store, cell);
  };
  return (
    <div class="control position" data-nnw-control="position">
      <span class="name"><label for={id}>{words.position}</label><HelpButton control="position" label={words.position} /></span>
      <span class="row start">
        <input type="text" id={id} size={6} value={draft.text ?? held} placeholder={unit.position ? positionText(unit.position) : words.positionHint} spellcheck={false} autocomplete="off"
          {...draft.on} onChange={onChange} />
        <button type="button" aria-disabled={held === ""} onClick={() => held !== "" && choosePosition(store, null)}>{words.strongest}</button>
      </span>
    </div>
  );
}

const unlabelled = (raster: Raster): Tile[] => Array.from({ length: raster.count }, (_, id) => ({ id, label: "", text: `${words.filter} ${id}` }));
const filterTiles = new WeakMap<Raster, Tile[]>();
const SMALL = { least: 1.6, most: 7 };

function Filter({ raster, text, dark }: { raster: Raster; text: string; dark: boolean }) {
  const tiles = filterTiles.get(raster) ?? unlabelled(raster);
  filterTiles.set(raster, tiles);
  return (
    <div class="filter">
      <p class="cap">{text || words.filter}</p>
      <Tiles name="unit-filter" label={text || words.filter} tiles={tiles} rasters={alone(raster)} size={SMALL} tall={8} dark={dark} selected={null} plain />
      <Scale raster={raster} dark={dark} />
    </div>
  );
}

export function UnitCard({ dark }: { dark: boolean }) {
  const store = useExplorer();
  const unit = store.shown.unit;
  const held = heldChannel(store);
  const layer = store.value("layer", "");
  if (!unit) return <section class="card unit-card" aria-label={words.unit}><h3>{words.unit}</h3><p class="cap">{words.noUnit}</p><div class="waiting"><i /></div></section>;
  const faded = unit.layer !== layer || unit.channel !== held;
  const command = unit.off ? "switch_on" : "switch_off";
  return (
    <section class={faded ? "card unit-card faded" : "card unit-card"} aria-label={unit.title || words.unit} aria-busy={faded} data-nnw-unit={unit.channel}>
      <div class="row head"><h3 class="title">{unit.title}</h3>
        <CommandButton command={command} mark={`${command} ${unit.layer} ${unit.channel}`} args={{ layer: unit.layer, channel: unit.channel }} className={unit.off ? "main" : ""}>
          {unit.off ? words.switchOn : words.switchOff}
        </CommandButton>
      </div>
      {unit.map && unit.map.width * unit.map.height === 1 && <OneCell map={unit.map} />}
      {unit.map && unit.map.width * unit.map.height > 1 && <>
        <UnitMap map={unit.map} position={unit.position} dark={dark} onChoose={(cell) => choosePosition(store, cell)} />
        <Scale raster={unit.map} dark={dark} />
        <Position unit={unit} />
      </>}
      {unit.field_text && <p class="cap field" data-nnw-field="">{unit.field_text}</p>}
      <FigureList figures={unit.figures} />
      {unit.notes.map((note, i) => <p key={i} class={`cap says r-${note.role ?? "muted"}`}>{note.text}</p>)}
      {unit.filter && <Filter raster={unit.filter} text={unit.filter_text} dark={dark} />}
      {Object.entries(unit.charts).map(([name, chart]) => (
        <div key={name} class="chart-block"><h4>{chart.title}</h4><ChartView name={name} chart={chart} /></div>
      ))}
    </section>
  );
}
