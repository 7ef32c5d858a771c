import assert from "node:assert/strict";
import { test } from "node:test";
import { barAt, columnAt, columns, dashes, marker, neighbour, path, pointAt, rects } from "../../src/chart/geometry";
import { axisText, keepInside, layout, thin, wrap } from "../../src/chart/layout";
import { scaleOf } from "../../src/chart/scale";
import type { Axis, Bars, Chart, Points } from "../../src/wire";

const axis = (domain: [number, number], more: Partial<Axis> = {}): Axis => ({ label: "", unit: "", scale: "linear", domain, ticks: [], ...more });
const sx = scaleOf(axis([0, 10]), 0, 100);
const sy = scaleOf(axis([0, 1]), 100, 0);
const bars: Bars = { type: "bars", x0: [0, 5], x1: [4, 9], y0: [0, 0], y1: [0.5, 1], ids: ["a", "b"], titles: ["A", "B"] };
const points: Points = { type: "points", x: [1, 5], y: [0.5, 0.5], titles: ["one", "two"] };

test("a linear scale maps its domain to its range", () => {
  assert.deepEqual([0, 5, 10, -5].map(sx), [0, 50, 100, -50]);
  assert.deepEqual([0, 1].map(sy), [100, 0]);
});

test("a log scale puts equal ratios at equal distances and cannot show zero", () => {
  const log = scaleOf(axis([1, 100], { scale: "log" }), 0, 200);
  assert.ok(Math.abs(log(10) - 100) < 1e-9);
  assert.ok(Number.isNaN(log(0)) && Number.isNaN(log(-1)));
});

test("an empty domain falls to the middle", () => assert.equal(scaleOf(axis([3, 3]), 0, 10)(3), 5));

test("bars become rectangles whichever way their edges are given", () => {
  assert.deepEqual(rects(bars, sx, sy)[0], { x: 0.5, y: 50, width: 39, height: 50 });
  assert.deepEqual(rects({ ...bars, x0: [4], x1: [0], y0: [0.5], y1: [0] }, sx, sy)[0], { x: 0.5, y: 50, width: 39, height: 50 });
});

test("a bar that cannot be shown has no extent", () => {
  assert.deepEqual(rects({ ...bars, x0: [Number.NaN] }, sx, sy)[0], { x: 0, y: 0, width: 0, height: 0 });
});

test("a line breaks at a missing value", () => {
  assert.equal(path({ x: [0, 1, 2, 3], y: [0, Number.NaN, 1, 1] }, sx, sy), "M0 100M20 0L30 0");
});

test("each shape is a closed path of its own", () => {
  const paths = (["circle", "square", "diamond", "triangle"] as const).map((shape) => marker(shape, 5, 5, 3));
  assert.equal(new Set(paths).size, 4);
  for (const d of paths) assert.match(d, /^M.*z$/);
});

test("columns unite the bars of one id, from left to right", () => {
  const below: Bars = { ...bars, x0: [5, 1], x1: [9.5, 4], ids: ["b", "a"], titles: ["B", "below"] };
  const all = columns([bars, below], sx, sy);
  assert.deepEqual(all, [{ id: "a", x: 0, width: 40, y: 0, height: 100, title: "A\nbelow" }, { id: "b", x: 50, width: 45, y: 0, height: 100, title: "B" }]);
});

test("a click beside a column counts within its slack only", () => {
  const all = columns([bars], sx, sy);
  assert.equal(columnAt(all, 20, 0)?.id, "a");
  assert.equal(columnAt(all, 43, 5)?.id, "a");
  assert.equal(columnAt(all, 48, 5)?.id, "b");
  assert.equal(columnAt(all, 120, 5), undefined);
});

test("arrow keys stop at the ends", () => {
  const all = columns([bars], sx, sy);
  assert.equal(neighbour(all, "a", 1)?.id, "b");
  assert.equal(neighbour(all, "b", 1)?.id, "b");
  assert.equal(neighbour(all, "a", -5)?.id, "a");
  assert.equal(neighbour(all, "unknown", 0)?.id, "a");
  assert.equal(neighbour([], "a", 1), undefined);
});

test("the nearest titled point or bar is found", () => {
  assert.equal(pointAt([points], sx, sy, 12, 52, 10)?.title, "one");
  assert.equal(pointAt([points], sx, sy, 30, 50, 10), undefined);
  assert.equal(barAt([bars], sx, sy, 60, 20)?.title, "B");
  assert.equal(barAt([bars], sx, sy, 20, 20), undefined);
});

test("ticks do not run into each other; the pinned, the first and the last come first", () => {
  const ticks = Array.from({ length: 20 }, (_, at) => ({ at, text: "layer name" }));
  const kept = thin(ticks, (tick) => tick.at * 20, 10, ticks[7]);
  for (const [i, tick] of kept.slice(1).entries()) assert.ok((tick.at - kept[i]!.at) * 20 >= 60);
  assert.ok(kept.includes(ticks[7]!) && kept.includes(ticks[0]!) && kept.includes(ticks[19]!));
  assert.deepEqual(thin([], () => 0, 10), []);
});

test("a text at the edge is moved inside", () => {
  assert.equal(keepInside(100, "1234567890", "start", 100, 10), 38);
  assert.equal(keepInside(0, "1234567890", "middle", 100, 10), 32);
  assert.equal(keepInside(50, "12", "middle", 100, 10), 50);
});

test("margins follow the texts, and the plot never turns inside out", () => {
  const chart: Chart = { kind: "", title: "", description: "", width: 390, height: 240, x: axis([0, 1], { ticks: [{ at: 1, text: "1,024" }] }), y: axis([0, 1], { ticks: [{ at: 1, text: "97.5" }], label: "accuracy", unit: "%" }), series: [] };
  const wide = layout(chart, 400, 11);
  assert.ok(wide.left >= 4 * 0.6 * 11 && wide.top > 1.6 * 11 && wide.bottom < wide.height);
  const thinner = layout(chart, 20, 11);
  assert.ok(thinner.right > thinner.left && thinner.bottom > thinner.top);
  const bare = layout({ ...chart, height: 16, x: axis([0, 1], { hidden: true }), y: axis([0, 1], { hidden: true }) }, 200, 11);
  assert.ok(bare.left <= 1 && bare.height < 3 * 11);
});

test("the name of an axis goes between its ticks where it fits, else below, in as many lines as it needs", () => {
  const small = (name: string): Chart => ({ kind: "", title: "", description: "", width: 220, height: 46, y: axis([0, 1], { hidden: true }), series: [],
    x: axis([0, 1], { label: name, ticks: [{ at: 0, text: "90" }, { at: 1, text: "100" }] }) });
  assert.deepEqual(layout(small("accuracy"), 220, 11).name.inline, true);
  const long = layout(small("16 levels of channel 3, the widest, scale 0.031"), 160, 11);
  assert.equal(long.name.inline, false);
  assert.ok(long.name.lines.length > 1 && long.bottom - long.top >= 0.3 * 46 - 1);
  assert.deepEqual(wrap("one two three", 7 * 6.6, 11), ["one two", "three"]);
});

test("axis names carry their unit", () => {
  assert.equal(axisText(axis([0, 1], { label: "size", unit: "kB" })), "size, kB");
  assert.equal(axisText(axis([0, 1], { unit: "kB" })), "kB");
});

test("any way to say a dash", () => {
  assert.deepEqual([dashes(undefined), dashes(false), dashes(true), dashes([2, 1]), dashes("5 2"), dashes("dashed")], [undefined, undefined, "4 3", "2 1", "5 2", "4 3"]);
});
