// Chart records of the invented net, in the form Python sends them.
import type { Axis, Chart, Role, Series } from "../../src/wire";
import { amounts, NET, type Measured, type Recipe } from "./net";

const axis = (label: string, unit: string, domain: [number, number], texts: [number, string][] = [], more: Partial<Axis> = {}): Axis => ({
  label, unit, scale: "linear", domain, ticks: texts.map(([at, text]) => ({ at, text })), ...more,
});
const hidden = (domain: [number, number]): Axis => axis("", "", domain, [], { hidden: true, grid: false });

/** A thin bar from 0 to the value, on a track that is the dense net. */
export function bar(kind: string, title: string, value: number, full: number, role: Role, interval?: [number, number], goal?: number): Chart {
  const series: Series[] = [
    { type: "bars", x0: [0], x1: [full], y0: [0.25], y1: [0.75], role: "line", titles: ["as trained"] },
    { type: "bars", x0: [0], x1: [Math.min(value, full)], y0: [0.25], y1: [0.75], role, titles: ["now"] },
  ];
  if (interval) series.push({ type: "interval", orient: "h", at: [0.5], low: [interval[0]], high: [interval[1]], role: "ink", width: 2 });
  if (goal !== undefined) series.push({ type: "rule", orient: "v", at: goal, role: "good" });
  return { kind, title, description: `${title}: ${Math.round((100 * value) / full)} % of the net as trained`, width: 200, height: 16, x: hidden([0, full * 1.001]), y: hidden([0, 1]), series };
}

export interface Visited {
  bytes: number;
  accuracy: number;
  tuned: boolean;
}

export function pareto(trail: readonly Visited[], half: number): Chart {
  const now = trail[trail.length - 1]!;
  const tuned = trail.filter((p) => p.tuned);
  return {
    kind: "pareto", title: "Footprint and quality", description: `Accuracy against encoded size; now ${(now.accuracy * 100).toFixed(1)} % at ${Math.round(now.bytes / 1000)} kB.`,
    width: 390, height: 240,
    x: axis("encoded size", "kB, log scale", [8, 1400], [[16, "16"], [64, "64"], [256, "256"], [1024, "1,024"]], { scale: "log" }),
    y: axis("accuracy", "%", [88, 100], [[88, "88"], [91, "91"], [94, "94"], [97, "97"], [100, "100"]]),
    series: [
      { type: "rule", orient: "h", at: 97, role: "good", dash: true, text: "goal 97 %" },
      { type: "line", x: trail.map((p) => p.bytes / 1000), y: trail.map((p) => 100 * p.accuracy), role: "accent", opacity: 0.45 },
      { type: "points", x: trail.map((p) => p.bytes / 1000), y: trail.map((p) => 100 * p.accuracy), shape: "circle", filled: true, role: "accent", size: 3.5,
        opacity: trail.map((_, i) => 0.3 + (0.6 * i) / trail.length), titles: trail.map((p) => `${(p.accuracy * 100).toFixed(1)} % at ${Math.round(p.bytes / 1000)} kB`), label: "visited" },
      { type: "points", x: tuned.map((p) => p.bytes / 1000), y: tuned.map((p) => 100 * p.accuracy), shape: "square", filled: false, role: "alt", size: 5, label: "fine-tuned" },
      { type: "interval", orient: "v", at: [now.bytes / 1000], low: [100 * (now.accuracy - half)], high: [100 * (now.accuracy + half)], role: "accent", width: 2 },
      { type: "points", x: [now.bytes / 1000], y: [100 * now.accuracy], shape: "circle", filled: true, role: "accent", size: 6, titles: ["now"] },
      { type: "text", x: now.bytes / 1000, y: 100 * now.accuracy, text: "now", role: "accent", anchor: "start", bold: true, dx: 0.9, dy: 1.1 },
    ],
  };
}

export function histogram(layer: string, recipe: Recipe): Chart {
  const n = 48;
  const at = NET.findIndex((each) => each.name === layer);
  const spread = 0.09 + 0.012 * (at % 5);
  const removed = amounts(recipe)[Math.max(0, at)] ?? 0;
  const cut = spread * Math.sqrt(-2 * Math.log(Math.max(1e-3, 1 - removed * 0.995))) * 0.8;
  const edges = Array.from({ length: n + 1 }, (_, i) => -0.4 + (0.8 * i) / n);
  const tall = edges.slice(0, n).map((x, i) => Math.round(900 * Math.exp(-((x + 0.4 / n) ** 2) / (2 * spread ** 2)) * (0.92 + 0.16 * Math.abs(Math.sin(i * 7.1 + at)))));
  const levels = recipe.bits > 6 ? [] : Array.from({ length: 2 ** recipe.bits }, (_, i) => -0.38 + (0.76 * i) / (2 ** recipe.bits - 1));
  const series: Series[] = [
    { type: "bars", x0: edges.slice(0, n), x1: edges.slice(1), y0: tall.map(() => 0), y1: tall, roles: edges.slice(0, n).map((x) => (Math.abs(x + 0.4 / n) < cut ? "line" : "accent")),
      opacity: 0.85, titles: tall.map((count, i) => `${count} weights from ${edges[i]!.toFixed(3)} to ${edges[i + 1]!.toFixed(3)}`) },
  ];
  if (cut > 0.01) {
    series.push({ type: "rule", orient: "v", at: -cut, role: "bad", dash: true }, { type: "rule", orient: "v", at: cut, role: "bad", dash: true });
    series.push({ type: "text", x: 0, y: 1040, text: `${Math.round(removed * 100)} % removed`, role: "bad", anchor: "middle" });
  }
  if (levels.length) series.push({ type: "ticks", at: levels, role: "alt" });
  return {
    kind: "histogram", title: `Weights of ${layer}`, description: `Histogram of the weights of ${layer}; ${Math.round(removed * 100)} % are removed.`, width: 320, height: 240,
    x: axis(levels.length ? `weight; ${levels.length} levels` : "weight", "", [-0.4, 0.4], [[-0.4, "−0.4"], [-0.2, "−0.2"], [0, "0"], [0.2, "0.2"], [0.4, "0.4"]]),
    y: axis("weights", "", [0, 1100], [], { hidden: true }), series,
  };
}

export function layers(measured: Measured): Chart {
  const ids = NET.map((layer) => layer.name);
  const x0 = ids.map((_, i) => i + 0.14);
  const x1 = ids.map((_, i) => i + 0.86);
  const most = Math.max(...NET.map((layer) => layer.macs));
  const titles = NET.map((layer, i) => `${layer.name}: ${(100 * measured.kept[i]!).toFixed(0)} % of the weights kept`);
  return {
    kind: "layers", title: "Per layer: weights kept (above), MACs (below)", description: "Share of the weights kept and MACs of each layer.", width: 700, height: 150,
    x: axis("", "", [0, ids.length], ids.map((id, i) => [i + 0.5, id])), y: axis("", "", [-0.8, 1.02], [], { hidden: true, grid: false }),
    series: [
      { type: "bars", x0, x1, y0: ids.map(() => 0), y1: ids.map(() => 1), role: "line", ids },
      { type: "bars", x0, x1, y0: ids.map(() => 0), y1: measured.kept, role: "accent", opacity: 0.85, ids, titles, label: "kept" },
      { type: "bars", x0, x1, y0: ids.map(() => -0.1), y1: NET.map((layer) => -0.1 - (0.65 * layer.macs) / most), role: "muted", opacity: 0.6, ids, label: "MACs" },
    ],
  };
}

export function loss(steps: number): Chart {
  const x = Array.from({ length: steps }, (_, i) => i);
  return {
    kind: "loss", title: "Loss", description: "Training loss while fine-tuning", width: 240, height: 90,
    x: axis("step", "", [0, 60], [[0, "0"], [30, "30"], [60, "60"]]), y: axis("loss", "", [0, 1], [[0, "0"], [0.5, "0.5"], [1, "1"]]),
    series: [{ type: "line", x, y: x.map((i) => 0.1 + 0.8 * Math.exp(-i / 14) + 0.05 * Math.sin(i * 2.3)), role: "accent" }],
  };
}
