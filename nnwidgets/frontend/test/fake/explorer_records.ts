// Panel, unit and answers of the invented network.
import type { Answers, Box, Panel, Raster, Tile, Traits, Unit, ViewName } from "../../src/explorer_wire";
import type { Axis, Chart, Figure } from "../../src/wire";
import type { Site } from "./explorer_net";
import { answer, colours, gabor, grey, pack, random, ripple, scene, type Field } from "./rasters";

export const CLASSES = ["ring", "disc", "square", "star", "cross", "wave", "grid", "dots", "cone", "moon"];

export interface State {
  layer: string;
  site: Site;
  view: ViewName;
  channel: number;
  order: string;
  scale: string;
  compare: boolean;
  position: string;
  image: Field[];
  side: number;
  off: ReadonlySet<number>;
  steps: number; // of training
  input_channel: number;
  index: number;
}

const axis = (label: string, unit: string, domain: [number, number], ticks: [number, string][] = [], more: Partial<Axis> = {}): Axis => ({
  label, unit, scale: "linear", domain, ticks: ticks.map(([at, text]) => ({ at, text })), ...more,
});
const fig = (raw: number, value: string, unit = ""): Figure => ({ raw, value, unit, notes: [] });

function mapOf(state: State, channel: number): Field {
  const { site, side, image } = state;
  if (site.side === 1) return new Float32Array([Math.max(0, random(channel + state.index)() - 0.4)]);
  if (site.channels > 150) return ripple(channel, site.side);
  const kernel = gabor(channel, 5);
  const field = answer(grey(image), side, kernel, 5, site.side);
  return channel % 21 === 13 ? field.map(() => 0) : field;
}

export function mapsOf(state: State): Field[] {
  return Array.from({ length: state.site.channels }, (_, i) => (state.off.has(i) ? mapOf(state, i).map(() => 0) : mapOf(state, i)));
}

const mean = (field: Field): number => field.reduce((a, b) => a + b, 0) / field.length;
const peak = (field: Field): number => field.reduce((a, b) => Math.max(a, b), 0);

function ordered(fields: Field[], order: string): number[] {
  const rank: Record<string, (i: number) => number> = { mean: (i) => -mean(fields[i]!), maximum: (i) => -peak(fields[i]!), variance: (i) => -mean(fields[i]!.map((v) => v * v)), selectivity: (i) => random(i + 3)() };
  const ids = fields.map((_, i) => i);
  const by = rank[order];
  return by ? ids.sort((a, b) => by(a) - by(b)) : ids;
}

const tile = (state: State, id: number, text: string): Tile => ({ id, label: String(id), text, ...(state.off.has(id) ? { off: true } : {}) });

function maps(state: State): Partial<Panel> {
  const all = mapsOf(state);
  const ids = ordered(all, state.order);
  const fields = ids.map((id) => all[id]!);
  const { side } = state.site;
  const each = state.scale === "tile";
  const tiles = ids.map((id) => tile(state, id, `channel ${id}: mean ${mean(all[id]!).toFixed(2)}, maximum ${peak(all[id]!).toFixed(2)}`));
  const extra: Partial<Panel> = {};
  if (state.compare) {
    const other = fields.map((field, i) => field.map((v, j) => Math.max(0, v * (0.8 + 0.3 * random(ids[i]!)()) + 0.08 * (random(i * 997 + j)() - 0.5) * (v > 0 ? 1 : 0.2))));
    const high = Math.max(...fields.map(peak), ...other.map(peak));
    extra.other = pack(other, side, side, { kind: "sequential", span: [0, high] });
    extra.difference = pack(fields.map((field, i) => other[i]!.map((v, j) => v - field[j]!)), side, side, { kind: "diverging" });
    return { tiles, raster: pack(fields, side, side, { kind: "sequential", span: [0, high] }), ...extra };
  }
  return { tiles, raster: pack(fields, side, side, { kind: "sequential", each }) };
}

export function filterField(channel: number, input: number, side: number, steps: number): Field {
  const noise = random(channel * 7 + input);
  const learnt = Math.min(1, steps / 30);
  return gabor(channel * 3 + input, side).map((v) => v * (0.25 + 0.75 * learnt) + (1 - learnt) * 0.5 * (noise() - 0.5));
}

/** One orientation, a colour of its own: what first layers learn. */
function tinted(channel: number, side: number, steps: number): Field[] {
  const r = random(channel * 5 + 2);
  const grey_ = r() < 0.4;
  const tint = [r() - 0.5, r() - 0.5, r() - 0.5].map((v) => (grey_ ? 0.8 : 1.9 * v));
  return tint.map((part, c) => filterField(channel, 0, side, steps).map((v, i) => part * v + 0.05 * (random(channel * 91 + i * 3 + c)() - 0.5)));
}

function filters(state: State): Partial<Panel> {
  const { kernel, channels, inputs } = state.site;
  const steps = state.view === "training" ? state.steps : 30;
  const tiles = Array.from({ length: channels }, (_, id) => tile(state, id, `filter ${id}: norm ${(1 + random(id)()).toFixed(2)}`));
  if (kernel === 1) {
    const width = 32;
    return { tiles: tiles.slice(0, 40), raster: pack(tiles.slice(0, 40).map((_, id) => Float32Array.from({ length: width * 4 }, (_, j) => random(id * 131 + j)() - 0.5)), width, 4, { kind: "diverging", each: state.scale === "tile" }) };
  }
  if (inputs === 3) return { tiles, raster: colours(tiles.map((_, id) => tinted(id, kernel, steps)), kernel, kernel, -1, 1) };
  return { tiles, raster: pack(tiles.map((_, id) => filterField(id, Math.max(0, state.input_channel), kernel, steps)), kernel, kernel, { kind: "diverging", each: state.scale === "tile" }), input_channels: inputs };
}

function attention(state: State): Partial<Panel> {
  const n = state.site.side;
  const heads = Array.from({ length: state.site.channels }, (_, h) => Float32Array.from({ length: n * n }, (_, i) => {
    const [row, column] = [Math.floor(i / n), i % n];
    return Math.exp(-(((row - column - (h - 3)) / (1 + h)) ** 2)) * (0.6 + 0.4 * random(h * 301 + i)());
  }));
  return { tiles: heads.map((_, id) => ({ id, label: `head ${id}`, text: `head ${id}: entropy ${(1 + id / 4).toFixed(1)} bit` })), raster: pack(heads, n, n, { kind: "sequential", each: state.scale === "tile" }) };
}

function histogram(state: State): Partial<Panel> {
  const n = 48;
  const edges = Array.from({ length: n + 1 }, (_, i) => (3.4 * i) / n);
  const tall = edges.slice(0, n).map((x, i) => (i === 0 ? 5200 : Math.round(2400 * Math.exp(-x * 1.4) * (0.9 + 0.2 * random(i)()))));
  const chart: Chart = {
    kind: "histogram", title: "Outputs of the layer over 4,000 images", description: "Histogram of the outputs; 38 % are zero.", width: 520, height: 190,
    x: axis("output after ReLU", "", [0, 3.4], [[0, "0"], [1, "1"], [2, "2"], [3, "3"]]), y: axis("outputs", "thousands", [0, 5500], [[0, "0"], [2500, "2.5"], [5000, "5"]]),
    series: [{ type: "bars", x0: edges.slice(0, n), x1: edges.slice(1), y0: tall.map(() => 0), y1: tall, roles: tall.map((_, i) => (i === 0 ? "muted" : "accent")), titles: tall.map((v, i) => `${v} from ${edges[i]!.toFixed(2)}`) },
      { type: "rule", orient: "v", at: 1.1, role: "alt", dash: true, text: "mean of the living" }],
  };
  const shares = Array.from({ length: Math.min(64, state.site.channels) }, (_, i) => (i < 3 ? 0 : Math.min(1, 0.08 + i / 70))).sort((a, b) => a - b);
  const alive: Chart = {
    kind: "alive", title: "Share of outputs above zero, channel by channel", description: "Three channels are dead.", width: 520, height: 130,
    x: axis("channel, sorted", "", [0, shares.length]), y: axis("alive", "%", [0, 100], [[0, "0"], [50, "50"], [100, "100"]]),
    series: [{ type: "bars", x0: shares.map((_, i) => i + 0.1), x1: shares.map((_, i) => i + 0.9), y0: shares.map(() => 0), y1: shares.map((v) => Math.max(1, 100 * v)), roles: shares.map((v) => (v === 0 ? "bad" : "accent")) }],
  };
  return { charts: { histogram: chart, alive }, channels: state.site.channels, figures: { dead: fig(3, "3", "of 64"), saturated: fig(0, "0", "of 64"), sparsity: fig(0.38, "38", "% of outputs are zero") } };
}

const field = (y: number, x: number, site: Site, side: number): Box => {
  const step = side / site.side;
  const half = Math.max(2.5, 34 / site.side + 2);
  const [cy, cx] = [(y + 0.5) * step, (x + 0.5) * step];
  return { y0: Math.round(cy - half), x0: Math.round(cx - half), y1: Math.round(cy + half), x1: Math.round(cx + half) };
};

function placeOf(state: State, map: Field): { y: number; x: number } {
  const [y, x] = state.position.split(",").map(Number);
  if (state.position && Number.isFinite(y) && Number.isFinite(x)) return { y: Math.min(state.site.side - 1, y!), x: Math.min(state.site.side - 1, x!) };
  const best = map.indexOf(peak(map));
  return { y: Math.floor(best / state.site.side), x: best % state.site.side };
}

function projection(image: Field[], side: number, box: Box, sharp: number): Field[] {
  return image.map((band, c) => Float32Array.from(band, (v, i) => {
    const [y, x] = [Math.floor(i / side), i % side];
    const [dy, dx] = [(y - (box.y0 + box.y1) / 2) / (box.y1 - box.y0), (x - (box.x0 + box.x1) / 2) / (box.x1 - box.x0)];
    const inside = Math.exp(-6 * (dy * dy + dx * dx));
    const edge = v - band[Math.max(0, i - 1)]! + (v - band[Math.max(0, i - side)]!);
    return inside * (sharp * 3 * edge + (1 - sharp) * (random(i * 3 + c)() - 0.5));
  }));
}

function deconvnet(state: State): Partial<Panel> {
  const map = mapOf(state, state.channel);
  const { y, x } = placeOf(state, map);
  const box = field(y, x, state.site, state.side);
  const column = (title: string, caption: string, sharp: number) => ({ title, caption, raster: colours([projection(state.image, state.side, box, sharp)], state.side, state.side, -1, 1), boxes: [box] });
  return { channels: state.site.channels, columns: [
    column("Deconvnet", "Zeiler & Fergus: ReLU on the way back", 0.95), column("Guided", "both ReLU rules at once", 0.8), column("Gradient", "the plain derivative", 0.45)] };
}

function top9(state: State, found: boolean): Partial<Panel> {
  if (!found) return { channels: state.site.channels };
  const side = 32;
  const images = Array.from({ length: 9 }, (_, i) => scene(state.channel * 13 + i * 3, side));
  const boxes = images.map((_, i) => field(8 + ((i * 5) % 16), 6 + ((i * 7) % 18), { ...state.site, side: 32 }, side)).map((b) => ({ y0: Math.max(0, b.y0 - 4), x0: Math.max(0, b.x0 - 4), y1: Math.min(32, b.y1 + 4), x1: Math.min(32, b.x1 + 4) }));
  const patch = 13;
  const patches = images.map((bands, i) => bands.map((band) => Float32Array.from({ length: patch * patch }, (_, j) => {
    const box = boxes[i]!;
    const [y, x] = [box.y0 + Math.floor(j / patch), box.x0 + (j % patch)];
    return band[Math.min(31, y) * side + Math.min(31, x)]!;
  })));
  const tiles = images.map((_, i) => ({ id: i, label: `${i + 1}`, text: `image ${214 + 17 * i}, ${CLASSES[i % 3]}: ${(3.41 - 0.12 * i).toFixed(2)}` }));
  return { channels: state.site.channels, tiles, columns: [
    { title: "Patch", caption: "what the strongest cell sees", raster: colours(patches, patch, patch, 0, 1) },
    { title: "Projection", caption: "Deconvnet, 99.5th percentile, zero is grey", raster: colours(images.map((image, i) => projection(image, side, boxes[i]!, 0.95)), side, side, -1, 1) },
    { title: "Image with field", caption: "white box: the receptive field", raster: colours(images, side, side, 0, 1), boxes },
  ] };
}

function training(state: State): Partial<Panel> {
  const n = Math.max(1, state.steps);
  const x = Array.from({ length: n }, (_, i) => i);
  const loss = x.map((i) => 0.15 + 2.1 * Math.exp(-i / 16) + 0.08 * Math.sin(i * 2.3));
  const ratio = x.map((i) => 10 ** (-2.4 - i / 60 + 0.1 * Math.sin(i * 1.7)));
  return {
    ...filters(state),
    charts: {
      loss: { kind: "loss", title: "Loss", description: `Training loss, ${loss[n - 1]!.toFixed(2)} now`, width: 300, height: 120, x: axis("step", "", [0, 90], [[0, "0"], [30, "30"], [60, "60"], [90, "90"]]), y: axis("loss", "", [0, 2.4], [[0, "0"], [1, "1"], [2, "2"]]), series: [{ type: "line", x, y: loss, role: "accent" }] },
      updates: { kind: "updates", title: "Update / weight", description: "Ratio of the update's norm to the weight's", width: 300, height: 120, x: axis("step", "", [0, 90], [[0, "0"], [30, "30"], [60, "60"], [90, "90"]]), y: axis("ratio", "", [1e-4, 1e-1], [[1e-4, "1e−4"], [1e-3, "1e−3"], [1e-2, "1e−2"], [1e-1, "0.1"]], { scale: "log" }), series: [{ type: "line", x, y: ratio, role: "alt" }, { type: "rule", orient: "h", at: 1e-3, role: "good", dash: true, text: "usual" }] },
    },
    figures: { step: fig(state.steps, String(state.steps)), loss: fig(loss[n - 1]!, loss[n - 1]!.toFixed(2)) },
  };
}

const ORDERS: Record<string, string> = { index: "in their order", mean: "sorted by mean", variance: "sorted by variance", maximum: "sorted by maximum", selectivity: "sorted by class selectivity" };

export function panelOf(state: State, found: boolean): Panel {
  const { view, site } = state;
  const made = view === "maps" ? maps(state) : view === "filters" ? filters(state) : view === "attention" ? attention(state) : view === "histogram" ? histogram(state)
    : view === "deconvnet" ? deconvnet(state) : view === "top9" ? top9(state, found) : training(state);
  const name = state.layer.split(".").pop()!;
  const titles: Record<ViewName, string> = {
    maps: `${site.channels} maps of ${state.layer}`, filters: `${made.tiles?.length} filters of ${state.layer}`, attention: `${site.channels} heads of ${state.layer}`, histogram: `Outputs of ${state.layer}`,
    deconvnet: `Channel ${state.channel} of ${name}, back to the pixels`, top9: `The nine strongest images of channel ${state.channel}`, training: `Training ${state.layer}`,
  };
  const captions: Record<ViewName, string> = {
    maps: `after ReLU, ${state.scale === "tile" ? "each on its own scale" : "one scale"}, ${ORDERS[state.order]}${state.compare ? ", against 4 bit and 72 % removed" : ""}`, filters: site.inputs === 3 ? "5 × 5 weights, colour by input channel, grey is zero" : "3 × 3 weights of one input channel, one scale",
    attention: "rows: tokens that look, columns: tokens looked at", histogram: "over 4,000 images of the test set, after ReLU", deconvnet: `${found ? "" : ""}contrast to the 99.5th percentile, zero is mid-grey; 2 of 2 activations follow the rule`,
    top9: "over 4,000 images of the test set, one place each", training: "weights of this layer while the network learns, on a copy",
  };
  return { view, layer: state.layer, title: titles[view], caption: captions[view], notes: view === "maps" && state.off.size ? [{ text: `${state.off.size} switched off`, role: "warn" }] : [], tiles: [], raster: null, other: null, difference: null,
    columns: [], charts: {}, figures: {}, ask: null, empty: "", busy: "", ...made };
}

export function unitOf(state: State): Unit {
  const { site, channel } = state;
  const map = mapOf(state, channel);
  const position = site.side > 1 ? placeOf(state, map) : null;
  const box = position && field(position.y, position.x, site, state.side);
  const profile = CLASSES.map((_, i) => Math.max(0.1, random(channel * 17 + i)() * (i === channel % 10 ? 0.4 : 1.4) + (i === channel % 10 ? 2.6 : 0)));
  const filter: Raster | null = site.kernel > 1 ? (site.inputs === 3 ? colours([tinted(channel, site.kernel, 30)], site.kernel, site.kernel, -1, 1)
    : pack(Array.from({ length: Math.min(24, site.inputs) }, (_, c) => filterField(channel, c, site.kernel, 30)), site.kernel, site.kernel, { kind: "diverging" })) : null;
  return {
    layer: state.layer, channel, title: `Channel ${channel} of ${state.layer.split(".").pop()}`, map: pack([map], site.side, site.side, { kind: "sequential", values: true }), position, field: box,
    field_text: box ? `field ${box.y1 - box.y0} × ${box.x1 - box.x0}, rows ${box.y0}–${box.y1 - 1}, columns ${box.x0}–${box.x1 - 1}` : "", filter, filter_text: filter ? (site.inputs === 3 ? "its filter, 3 × 5 × 5" : "its filter, input by input") : "",
    figures: { maximum: fig(peak(map), peak(map).toFixed(2)), mean: fig(mean(map), mean(map).toFixed(3)), alive: fig(0.62, "62", "%"), selectivity: fig(0.41, "0.41") },
    charts: { profile: {
      kind: "profile", title: "Mean answer, class by class", description: `Strongest for ${CLASSES[channel % 10]}.`, width: 240, height: 96, x: axis("", "", [0, 10], CLASSES.map((name, i) => [i + 0.5, name])), y: axis("", "", [0, 3.4], [[0, "0"], [3, "3"]], { hidden: true }),
      series: [{ type: "bars", x0: CLASSES.map((_, i) => i + 0.14), x1: CLASSES.map((_, i) => i + 0.86), y0: profile.map(() => 0), y1: profile, roles: CLASSES.map((_, i) => (i === channel % 10 ? "alt" : "accent")), titles: CLASSES.map((name, i) => `${name}: ${profile[i]!.toFixed(2)}`) }],
    } },
    off: state.off.has(channel), notes: state.off.has(channel) ? [{ text: "Switched off: every cell is zero from here on.", role: "warn" }] : [],
  };
}

export function answersOf(state: State, changed: boolean, compare: boolean): Answers {
  const truth = state.index % 3;
  const raw = CLASSES.map((_, i) => (i === truth ? 3.1 : i === (truth + 1) % 3 ? 1.4 : random(state.index * 7 + i)()));
  const soft = (logits: number[]): number[] => { const e = logits.map(Math.exp); const s = e.reduce((a, b) => a + b, 0); return e.map((v) => v / s); };
  const [dense, other] = [soft(raw), soft(raw.map((v, i) => (i === truth ? v - 0.6 * state.off.size - (compare ? 0.4 : 0) : v)))];
  const both = changed || compare;
  const ids = CLASSES.map((_, i) => i).sort((a, b) => dense[b]! - dense[a]!).slice(0, 5);
  const now = both ? other : dense;
  const best = now.indexOf(Math.max(...now));
  return {
    rows: ids.map((i) => ({ name: CLASSES[i]!, dense: dense[i]!, other: both ? other[i]! : null, truth: i === truth, mark: i === truth ? "truth" : "", text: both ? `${(100 * dense[i]!).toFixed(0)} → ${(100 * other[i]!).toFixed(0)} %` : `${(100 * dense[i]!).toFixed(0)} %` })),
    other_title: both ? (changed ? "switched off" : "compressed") : "", verdict: best === truth ? `${CLASSES[truth]}, right` : `${CLASSES[truth]} → ${CLASSES[best]}`, role: best === truth ? "good" : "bad",
  };
}

export const STATE_OF: readonly (keyof Traits)[] = ["layer", "view", "channel", "order", "scale", "compare", "position", "input_channel", "image_index"];
