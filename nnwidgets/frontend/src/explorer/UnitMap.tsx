// The big map: the number under the pointer, the cell under the arrow keys, the choice of a position.
import { useState } from "preact/hooks";
import { words } from "../explorer_strings";
import type { Raster } from "../explorer_wire";
import { Boxed } from "./Tiles";
import { Picture } from "./Picture";
import { cellAt, said, step, valueAt, type Cell } from "./raster";
import { useExplorer } from "./contract";

interface Props {
  name?: string; // data-nnw-chart
  map: Raster;
  position: Cell | null;
  dark: boolean;
  most?: number;
  onChoose: (cell: Cell) => void;
}

const one = ({ y, x }: Cell) => ({ y0: y, x0: x, y1: y + 1, x1: x + 1 });

/** The cell that an event points at. */
export function pointed(event: MouseEvent, shape: { width: number; height: number }): Cell | null {
  const frame = (event.currentTarget as Element).getBoundingClientRect();
  return cellAt((event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height, shape);
}

export function readout(map: Raster, cell: Cell): string {
  const found = valueAt(map, cell);
  if (!found) return "";
  return words.cell(cell.y, cell.x, found.exact ? said(found.value) : words.about(said(found.value)));
}

/** A map of one cell is a number. */
export function OneCell({ map }: { map: Raster }) {
  const found = valueAt(map, { y: 0, x: 0 });
  return <p class="one-cell" data-nnw-chart="unit-map"><span class="cap">{words.only}</span> <b data-nnw-readout="">{found ? said(found.value) : "–"}</b></p>;
}

export function UnitMap({ name = "unit-map", map, position, dark, most, onChoose }: Props) {
  const store = useExplorer();
  const [under, setUnder] = useState<Cell | null>(null);
  const [keyed, setKeyed] = useState<Cell | null>(null);
  const inside = (cell: Cell | null): Cell | null => (cell && cell.y < map.height && cell.x < map.width ? cell : null);
  const shown = inside(under) ?? inside(keyed) ?? inside(position) ?? { y: 0, x: 0 };
  const onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = step(shown, event.key, map);
    if (to) {
      setUnder(null);
      setKeyed(to);
      store.say(readout(map, to));
    } else if (event.key === "Enter" || event.key === " ") onChoose(shown);
    else if (event.key === "Escape" && keyed) setKeyed(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const onClick = (event: MouseEvent): void => {
    const cell = pointed(event, map);
    if (!cell) return;
    setKeyed(cell);
    onChoose(cell);
  };
  const cursor = inside(under) ?? inside(keyed);
  return (
    <div class="unit-map" data-nnw-chart={name}>
      <Picture raster={map} dark={dark} {...(most === undefined ? {} : { most })}>
        <div class="touch" role="application" tabIndex={0} aria-label={`${words.map}: ${readout(map, shown)}; ${words.mapKeys}`} onKeyDown={onKey} onClick={onClick}
          onPointerMove={(event) => setUnder(pointed(event, map))} onPointerLeave={() => setUnder(null)} onBlur={() => setKeyed(null)}>
          <Boxed box={position && one(position)} raster={map} />
          {cursor && <span class="cursor"><Boxed box={one(cursor)} raster={map} /></span>}
        </div>
      </Picture>
      <p class="readout" data-nnw-readout="">{readout(map, shown)}</p>
    </div>
  );
}
