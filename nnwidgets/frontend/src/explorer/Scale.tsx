import { words } from "../explorer_strings";
import type { Raster } from "../explorer_wire";
import { gradient } from "./lut";
import { said } from "./raster";

interface Props {
  raster: Raster;
  dark: boolean;
  title?: string;
  own?: { range: [number, number]; label: string } | null; // where every tile has its own scale: that of the chosen one
}

/** What the colours stand for: the lowest, zero, the highest. */
export function Scale({ raster, dark, title, own }: Props) {
  const each = raster.ranges !== undefined;
  const [low, high] = each && own ? own.range : [raster.low, raster.high];
  const numbers = !each || own;
  const share = raster.kind === "diverging" ? 0.5 : high > low ? (0 - low) / (high - low) : 0;
  const zero = low < 0 && high > 0;
  const cut = raster.clipped === true && !each;
  const note = [title, each ? (own ? `${words.ownScale}, ${words.chosenTile(own.label)}` : words.ownScale) : ""].filter(Boolean).join(" · ");
  return (
    <div class="scale" data-nnw-scale={raster.kind}>
      {note && <span class="cap">{note}</span>}
      <span class="ramp">
        <i style={{ backgroundImage: gradient(raster.kind, dark) }} aria-hidden="true" />
        {numbers && <>
          <span>{cut && raster.kind === "diverging" ? words.atMost(said(low)) : said(low)}</span>
          {zero && share > 0.14 && share < 0.86 && <span class="zero" style={{ left: `${100 * share}%` }}>0</span>}
          <span>{cut ? words.atLeast(said(high)) : said(high)}</span>
        </>}
      </span>
    </div>
  );
}
