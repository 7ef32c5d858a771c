// Numbers to colours: 256 of them a table, as the bytes of a canvas. Pure.
import type { Raster } from "../explorer_wire";

export type Kind = Raster["kind"];

// Viridis (van der Walt and Smith, CC0), every 7.5th colour; between them a straight line, at most 2 of 255 off
const VIRIDIS =
  "440154470d60481769482071472a7a463480433d844045883d4e8a39568c355e8d32658e2e6d8e2b748e297b8e26828e23898e21918c1f978b1f9e8921a58526ad81" +
  "2eb37c38b97746c06f56c66765cb5e75d05489d5489dd93bb0dd2fc2df23d8e219ece51bfde725";
// Blue and orange tell signs apart for every kind of colour vision; the middle is the page's own grey
const BLUE_ORANGE = "0b3c8c2f6fc484b1e4f1f1efefb07ac466138a3b00";
const BLUE_ORANGE_DARK = "9bd0ff4f9ee62a5f94262b31935016e08431ffc48a";
const GREY = "000000ffffff";

export const stopsOf = (kind: Kind, dark: boolean): string[] => {
  const text = kind === "sequential" ? VIRIDIS : kind === "diverging" ? (dark ? BLUE_ORANGE_DARK : BLUE_ORANGE) : GREY;
  return text.match(/.{6}/g) ?? [];
};

const channels = (hex: string): number[] => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

const made = new Map<string, Uint32Array>();

/** Colour of each level 0..255 as one little-endian RGBA word. Level 128 of a diverging table is exactly the middle. */
export function table(kind: Kind, dark: boolean): Uint32Array {
  const key = `${kind}${dark}`;
  const known = made.get(key);
  if (known) return known;
  const stops = stopsOf(kind, dark).map(channels);
  const words = Uint32Array.from({ length: 256 }, (_, level) => {
    // Zero is level 128 of 0..255: the halves are 128 and 127 levels long
    const share = kind === "diverging" ? (level <= 128 ? level / 256 : 0.5 + (level - 128) / 254) : level / 255;
    const at = share * (stops.length - 1);
    const [a, b] = [stops[Math.floor(at)]!, stops[Math.min(stops.length - 1, Math.floor(at) + 1)]!];
    const [r, g, blue] = a.map((from, i) => Math.round(from + (b[i]! - from) * (at - Math.floor(at))));
    return (255 << 24) | (blue! << 16) | (g! << 8) | r!;
  });
  made.set(key, words);
  return words;
}

/** The table as a CSS gradient, from low to high. */
export function gradient(kind: Kind, dark: boolean): string {
  return `linear-gradient(to right, ${stopsOf(kind, dark).map((hex) => `#${hex}`).join(", ")})`;
}
