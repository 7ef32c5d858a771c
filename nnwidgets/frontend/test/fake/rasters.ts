// Invented pictures that look like those of a trained network: a scene, edge detectors, what they answer to it.
import type { Raster } from "../../src/explorer_wire";

export const random = (seed: number): (() => number) => {
  let state = (seed * 2654435761 + 12345) % 2147483647 || 7;
  return () => (state = (state * 16807) % 2147483647) / 2147483647;
};

export type Field = Float32Array;

/** A ring, a disc or a square before a textured ground: RGB in 0..1. */
export function scene(index: number, side: number): Field[] {
  const r = random(index + 1);
  const [cx, cy, radius, kind] = [0.35 + 0.3 * r(), 0.35 + 0.3 * r(), 0.2 + 0.12 * r(), index % 3];
  const [tint, ground, turn] = [[r(), r(), r()], [0.25 * r(), 0.3 + 0.3 * r(), 0.35 + 0.3 * r()], r() * 3];
  const bands = [0, 1, 2].map(() => new Float32Array(side * side));
  for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) {
    const [u, v] = [(x + 0.5) / side - cx, (y + 0.5) / side - cy];
    const away = kind === 2 ? Math.max(Math.abs(u), Math.abs(v)) : Math.hypot(u, v);
    const inside = kind === 0 ? Math.abs(away - radius) < 0.06 : away < radius;
    const grain = 0.06 * Math.sin(40 * (u * Math.cos(turn) + v * Math.sin(turn))) + 0.05 * r();
    bands.forEach((band, c) => { band[y * side + x] = Math.max(0, Math.min(1, (inside ? 0.45 + 0.5 * tint[c]! : ground[c]!) + grain)); });
  }
  return bands;
}

/** A handwritten seven, one band. */
export function digit(index: number, side = 28): Field {
  const band = new Float32Array(side * side);
  const slant = 0.25 + 0.1 * Math.sin(index);
  for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) {
    const [u, v] = [(x + 0.5) / side, (y + 0.5) / side];
    const bar = Math.max(0, 1 - Math.max(Math.abs(v - 0.25) * 22, Math.abs(u - 0.5) * 3.4 - 0.2));
    const stem = v > 0.23 && v < 0.82 ? Math.max(0, 1 - Math.abs(u - 0.72 + slant * (v - 0.25)) * 17) : 0;
    band[y * side + x] = Math.min(1, 1.5 * Math.max(bar, stem));
  }
  return band;
}

export function gabor(channel: number, side: number): Field {
  const r = random(channel * 31 + 5);
  const [turn, wave, phase, wide] = [r() * Math.PI, 0.45 + 0.5 * r(), r() * 6.28, 0.32 + 0.3 * r()];
  const out = new Float32Array(side * side);
  for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) {
    const [u, v] = [(x - (side - 1) / 2) / side, (y - (side - 1) / 2) / side];
    const along = u * Math.cos(turn) + v * Math.sin(turn);
    out[y * side + x] = Math.sin((along * 6.28) / wave + phase) * Math.exp(-(u * u + v * v) / (2 * wide * wide)) + 0.12 * (r() - 0.5);
  }
  return out;
}

/** What a detector answers: correlation with the picture, then ReLU; sampled down to `to`. */
export function answer(picture: Field, from: number, kernel: Field, k: number, to: number): Field {
  const out = new Float32Array(to * to);
  const [step, half] = [from / to, Math.floor(k / 2)];
  const mean = kernel.reduce((a, b) => a + b, 0) / kernel.length;
  for (let y = 0; y < to; y += 1) for (let x = 0; x < to; x += 1) {
    const [cy, cx] = [Math.floor((y + 0.5) * step), Math.floor((x + 0.5) * step)];
    let sum = 0;
    for (let j = 0; j < k; j += 1) for (let i = 0; i < k; i += 1) {
      const [py, px] = [Math.max(0, Math.min(from - 1, cy + j - half)), Math.max(0, Math.min(from - 1, cx + i - half))];
      sum += (kernel[j * k + i]! - mean) * picture[py * from + px]!;
    }
    out[y * to + x] = Math.max(0, sum);
  }
  return out;
}

/** Waves inside a spot: cheap, for layers of hundreds of large maps. */
export function ripple(channel: number, side: number): Field {
  const r = random(channel + 11);
  const [turn, wave, phase, cx, cy, wide] = [r() * 6.28, 8 + 26 * r(), r() * 6.28, 0.25 + 0.5 * r(), 0.25 + 0.5 * r(), 0.08 + 0.1 * r()];
  const out = new Float32Array(side * side);
  for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) {
    const [u, v] = [x / side - cx, y / side - cy];
    out[y * side + x] = Math.max(0, Math.sin(wave * (u * Math.cos(turn) + v * Math.sin(turn)) + phase)) * Math.exp(-(u * u + v * v) / wide) * (0.3 + r() * 0.02 + (channel % 7) / 4);
  }
  return out;
}

const extremes = (fields: readonly Field[]): [number, number] => {
  let [low, high] = [Infinity, -Infinity];
  for (const field of fields) for (const v of field) { if (v < low) low = v; if (v > high) high = v; }
  return Number.isFinite(low) ? [low, Math.max(high, low + 1e-6)] : [0, 1];
};

interface Packing { kind: Raster["kind"]; each?: boolean; values?: boolean; span?: [number, number] | undefined }

/** Numbers to levels, on one scale or each tile on its own. */
export function pack(fields: readonly Field[], width: number, height: number, { kind, each = false, values = false, span }: Packing): Raster {
  const bounds = (some: readonly Field[]): [number, number] => {
    const [low, high] = span ?? extremes(some);
    if (kind === "diverging") { const m = Math.max(-low, high); return [-m, m]; }
    return [Math.min(0, low), high];
  };
  const [low, high] = bounds(fields);
  const ranges = each ? fields.map((field) => bounds([field])) : undefined;
  const bytes = new Uint8Array(fields.length * width * height);
  fields.forEach((field, t) => {
    const [from, to] = ranges?.[t] ?? [low, high];
    const base = t * width * height;
    for (let i = 0; i < width * height; i += 1) {
      const v = field[i]!;
      bytes[base + i] = kind === "diverging" ? Math.round(128 + (v > 0 ? (127 * v) / to : (128 * v) / -from)) : Math.max(0, Math.min(255, Math.round((255 * (v - from)) / (to - from))));
    }
  });
  return {
    count: fields.length, width, height, channels: 1, kind, low, high, ...(ranges ? { ranges } : {}), data: new DataView(bytes.buffer),
    ...(values && fields.length === 1 ? { values: new DataView(Float32Array.from(fields[0]!).buffer) } : {}),
  };
}

/** RGB tiles; `low` and `high` are what black and full colour stand for. */
export function colours(tiles: readonly Field[][], width: number, height: number, low: number, high: number): Raster {
  const bytes = new Uint8Array(tiles.length * width * height * 3);
  tiles.forEach((bands, t) => {
    for (let i = 0; i < width * height; i += 1) for (let c = 0; c < 3; c += 1) {
      bytes[(t * width * height + i) * 3 + c] = Math.max(0, Math.min(255, Math.round((255 * (bands[c]![i]! - low)) / (high - low))));
    }
  });
  return { count: tiles.length, width, height, channels: 3, kind: "colour", low, high, data: new DataView(bytes.buffer) };
}

export const grey = (bands: readonly Field[]): Field => Float32Array.from(bands[0]!, (_, i) => bands.reduce((sum, band) => sum + band[i]!, 0) / bands.length);
