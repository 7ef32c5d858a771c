// Deconvnet: the rules side by side. Top 9: the strongest images as image, patch and projection.
import { useMemo, useState } from "preact/hooks";
import { useBox } from "../chart/useBox";
import { Check } from "../controls/Check";
import { Segmented } from "../controls/Segmented";
import { words } from "../explorer_strings";
import type { Box, Input, Panel, Unit } from "../explorer_wire";
import { alone } from "./alone";
import { useExplorer } from "./contract";
import { InputPicture } from "./InputCard";
import { Picture } from "./Picture";
import { clip } from "./raster";
import { Scale } from "./Scale";
import { Boxed, Tiles } from "./Tiles";
import { choosePosition } from "./Unit";
import { UnitMap } from "./UnitMap";

const [SOURCE, PICTURE] = [14, 34]; // em of height: the map is in the unit's card too, the pictures below are what is looked at

/** The receptive field, where it is a part of the image that can be zoomed to. */
function fieldOf(input: Input | null | undefined, unit: Unit | null | undefined): Box | null {
  const field = input && clip(unit?.field, input.raster.width, input.raster.height);
  const all = field && field.x1 - field.x0 === input.raster.width && field.y1 - field.y0 === input.raster.height;
  return all ? null : (field ?? null);
}

/** Above: the map to choose the place from. Below: the image, and of the same size what each rule says of it. */
export function Columns({ panel, dark }: { panel: Panel; dark: boolean }) {
  const store = useExplorer();
  const [zoomed, setZoomed] = useState(false);
  const { input, unit } = store.shown;
  const map = unit?.map;
  const places = map ? map.width * map.height : 0;
  const field = useMemo(() => fieldOf(input, unit), [input, unit]);
  const near = zoomed ? field : null;
  return (
    <div class="rules" data-nnw-chart="deconvnet">
      <div class="sources">
        {unit && map && places > 1 && (
          <figure class="column">
            <figcaption><b>{words.mapOf(unit.channel)}</b></figcaption>
            <UnitMap name="deconvnet-map" map={map} position={unit.position} dark={dark} most={SOURCE} onChoose={(cell) => choosePosition(store, cell)} />
          </figure>
        )}
        <div class="column place">
          <p><b>{words.placeTitle}</b></p>
          <p>{places > 1 && unit?.position ? words.place(unit.position.y, unit.position.x) : places === 1 ? words.wholeMap : ""}</p>
          <p class="cap">{unit?.field_text}</p>
          {field && <Check control="zoom" label={words.zoom} className="chip" value={zoomed} onValue={setZoomed} />}
          {places > 1 && !near && <p class="cap">{words.hereHint}</p>}
        </div>
      </div>
      <div class="projections">
        {input && (
          <figure class="column">
            <figcaption><b>{words.input}</b></figcaption>
            <InputPicture input={input} unit={unit} dark={dark} most={PICTURE} near={near} />
          </figure>
        )}
        {panel.columns.map((column) => (
          <figure class="column" key={column.title}>
            <figcaption><b>{column.title}</b></figcaption>
            <div role="img" aria-label={`${column.title}: ${column.caption}`}>
              <Picture raster={column.raster} dark={dark} most={PICTURE} near={near}>{!near && <Boxed box={column.boxes?.[0] ?? field} raster={column.raster} />}</Picture>
            </div>
            <Scale raster={column.raster} dark={dark} />
            <p class="cap">{column.caption}</p>
          </figure>
        ))}
      </div>
    </div>
  );
}

const [PAIR, ALL] = ["pair", "all"];
const NINE = { least: 2.2, most: 12 };

export function TopNine({ panel, dark }: { panel: Panel; dark: boolean }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const [rank, setRank] = useState<number | null>(null);
  const [ref, box] = useBox();
  const wide = box !== null && box.width / box.em >= 26;
  const titles = panel.columns.map((each) => each.title);
  const groups: Record<string, string[]> = { ...(titles.length > 2 ? { [PAIR]: titles.slice(0, 2) } : {}), ...Object.fromEntries(titles.map((each) => [each, [each]])), ...(titles.length > 1 ? { [ALL]: titles } : {}) };
  const first = wide ? (titles.length > 2 ? PAIR : ALL) : (titles[0] ?? ALL);
  const shown = chosen !== null && chosen in groups ? chosen : first;
  const columns = panel.columns.filter((each) => groups[shown]?.includes(each.title) ?? true);
  const tile = panel.tiles.find((each) => each.id === rank) ?? panel.tiles[0];
  const label = (value: string): string => (value === PAIR ? words.pair(titles[0]!, titles[1]!) : value === ALL ? (titles.length > 2 ? words.all : words.both) : value);
  const choices = Object.keys(groups).map((value) => ({ value, label: label(value) }));
  return (
    <div class="nine" ref={ref}>
      <div class="tools"><Segmented control="top9_show" label={words.showWhich} choices={choices} value={shown} onValue={(value) => setChosen(String(value))} /></div>
      <div class={`columns ${["one", "two", "three"][columns.length - 1] ?? "one"}`} data-nnw-chart="top9">
        {columns.map((column) => (
          <figure class="column" key={column.title}>
            <figcaption><b>{column.title}</b></figcaption>
            <div class="square">
              <Tiles name={`top9-${titles.indexOf(column.title)}`} label={`${column.title}: ${panel.title}`} tiles={panel.tiles} rasters={alone(column.raster)} boxes={column.boxes} size={NINE} across={3} tall={60}
                dark={dark} selected={tile?.id ?? null} onSelect={setRank} />
            </div>
            {column.raster.channels === 1 && column.raster.kind !== "grey" && <Scale raster={column.raster} dark={dark} />}
            <p class="cap">{column.caption}</p>
          </figure>
        ))}
      </div>
      <p class="cap rank" aria-live="polite">{tile && <><b>{tile.label}</b> {tile.text}</>}</p>
    </div>
  );
}
