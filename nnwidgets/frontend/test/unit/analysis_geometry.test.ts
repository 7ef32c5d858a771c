// Edges of the flowchart and the keys that walk through it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { neighbour, rounded, route, ruleOf, type Placed, type Point, type Rect } from "../../src/analysis/geometry";

const rect = (left: number, top: number, width = 100, height = 40): Rect => ({ left, top, right: left + width, bottom: top + height });
const at = (column: Placed["column"], left: number, top: number, width = 100, height = 40): Placed => ({ column, rect: rect(left, top, width, height) });

const BOXES = {
  start: at("top", 100, 0), exit: at("top", 240, 0), train: at("train", 0, 80, 140), leaf: at("train", 20, 140, 120), head: at("train", 20, 200, 120),
    data: at("data", 40, 250, 100),
  test: at("test", 200, 80, 140), far: at("test", 220, 140, 120), both: at("both", 20, 320, 120),
};

test("each pair of places has its way", () => {
  const rules = [["start", "exit"], ["start", "train"], ["train", "leaf"], ["head", "data"], ["train", "both"], ["test", "both"], ["head",
    "test"]] as const;
  assert.deepEqual(rules.map(([a, b]) => ruleOf(BOXES[a], BOXES[b])), ["beside", "down", "tree", "tree", "bus", "bus", "across"]);
});

const upright = (points: readonly Point[]): boolean => points.every((p, i) => i === 0 || p[0] === points[i - 1]![0] || p[1] === points[i - 1]![1]);
const touches = ([x, y]: Point, { rect: r }: Placed): boolean => x >= r.left && x <= r.right && y >= r.top && y <= r.bottom;

test("every edge starts at the one box, ends at the other, and runs straight up and across", () => {
  for (const from of Object.values(BOXES)) for (const to of Object.values(BOXES)) {
    if (from === to) continue;
    const points = route(from, to, 10);
    assert.ok(upright(points));
    assert.ok(touches(points[0]!, from) && touches(points[points.length - 1]!, to));
  }
});

test("leaves of a branch share its spine, so that their dashes fall together", () => {
  const [a, b] = [route(BOXES.train, BOXES.leaf, 10), route(BOXES.train, BOXES.both, 10)];
  assert.deepEqual(a[0], b[0]);
  assert.equal(a[1]![0], b[1]![0]);
});

test("an edge from right to left takes the facing sides", () => {
  assert.deepEqual(route(BOXES.test, BOXES.leaf, 10), [[200, 100], [166, 100], [166, 160], [140, 160]]);
});

test("corners are rounded, by less where there is less room; a straight line has none", () => {
  assert.equal(rounded([[0, 0], [0, 10], [30, 10]], 6), "M0 0L0 5Q0 10 5 10L30 10");
  assert.equal(rounded([[0, 0], [0, 100], [30, 100]], 6), "M0 0L0 94Q0 100 6 100L30 100");
  assert.equal(rounded([[0, 0], [10, 0], [10, 0], [20, 0]], 6).includes("NaN"), false);
});

test("arrow keys go to the nearest box of that side, in the column before beside it, and stay at the ends", () => {
  const places = new Map(Object.entries(BOXES).map(([id, { rect: r }]) => [id, r]));
  const way = (id: string, ...keys: ("Up" | "Down" | "Left" | "Right")[]): string => keys.reduce((now, key) => neighbour(now, places, `Arrow${key}`), id);
  assert.equal(way("start", "Right"), "exit");
  assert.equal(way("start", "Down"), "train");
  assert.equal(way("train", "Down"), "leaf");
  assert.equal(way("leaf", "Right"), "far");
  assert.equal(way("far", "Left"), "leaf");
  assert.equal(way("train", "Down", "Down", "Down", "Down"), "both");
  assert.equal(way("both", "Down"), "both");
  assert.equal(way("both", "Up"), "data");
  assert.equal(way("unknown", "Up"), "unknown");
});
