// Deconvnet: the rules side by side. Top 9: the strongest images as image, patch and projection.
import { useState } from "preact/hooks";
import { useBox } from "../chart/useBox";
import { Segmented } from "../controls/Segmented";
import { words } from "../explorer_strings";
import type { Panel } from "../explorer_wire";
import { alone } from "./alone";
import { useExplorer } from "./contract";
import { InputPicture } from "./InputCard";
import { Picture } from "./Picture";
import { Scale } from "./Scale";
import { Boxed, Tiles } from "./Tiles";
import { choosePosition } from "./Unit";
import { UnitMap } from "./UnitMap";

/** Above: the image and the map, each to choose the place from. Below: what each rule says of it, side by side. */
export function Columns({ panel, dark }: { panel: Panel; dark: boolean }) {
  const store = useExplorer();
  const { input, unit } = store.shown;
  const map = unit?.map;
  return (
    <div class="rules" data-nnw-chart="deconvnet">
      {input && (
        <figure class="column">
          <figcaption><b>{words.input}</b></figcaption>
          <InputPicture input={input} unit={unit} dark={dark} most={26} />
        </figure>
      )}
      {unit && map && map.width * map.height > 1 && (
        <figure class="column">
          <figcaption><b>{words.mapOf(unit.channel)}</b></figcaption>
          <UnitMap name="deconvnet-map" map={map} position={unit.position} dark={dark} most={26} onChoose={(cell) => choosePosition(store, cell)} />
        </figure>
      )}
      <div class="column place">
        <p><b>{words.placeTitle}</b></p>
        <p>{unit?.position ? words.place(unit.position.y, unit.position.x) : words.wholeMap}</p>
        <p class="cap">{unit?.field_text}</p>
        <p class="cap">{words.hereHint}</p>
      </div>
      {panel.columns.map((column) => (
        <figure class="column" key={column.title}>
          <figcaption><b>{column.title}</b></figcaption>
          <div role="img" aria-label={`${column.title}: ${column.caption}`}>
            <Picture raster={column.raster} dark={dark} most={26}><Boxed box={column.boxes?.[0]} raster={column.raster} /></Picture>
          </div>
          <Scale raster={column.raster} dark={dark} />
          <p class="cap">{column.caption}</p>
        </figure>
      ))}
    </div>
  );
}

const ALL = "all";
const NINE = { least: 2.2, most: 12 };

export function TopNine({ panel, dark }: { panel: Panel; dark: boolean }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const [rank, setRank] = useState<number | null>(null);
  const [ref, box] = useBox();
  const wide = box !== null && box.width / box.em >= 52;
  const titles = panel.columns.map((each) => each.title);
  const shown = chosen !== null && (chosen === ALL || titles.includes(chosen)) ? chosen : wide ? ALL : (titles[0] ?? ALL);
  const columns = panel.columns.filter((each) => shown === ALL || each.title === shown);
  const tile = panel.tiles.find((each) => each.id === rank) ?? panel.tiles[0];
  const choices = [...titles, ...(titles.length > 1 ? [ALL] : [])].map((value) => ({ value, label: value === ALL ? words.all : value }));
  return (
    <div class="nine" ref={ref}>
      <div class="tools"><Segmented control="top9_show" label={words.showWhich} choices={choices} value={shown} onValue={(value) => setChosen(String(value))} /></div>
      <div class={columns.length > 1 ? "columns three" : "columns one"} data-nnw-chart="top9">
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
