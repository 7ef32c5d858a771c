// Labels, bars and the handle of the number line; shades of the confusion matrix.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sideOf } from "../../src/analysis/Gallery";
import { lanes, spread, stepOf, withNumber } from "../../src/analysis/line";
import { shadeOf } from "../../src/analysis/Matrix";

const touch = (xs: readonly number[], widths: readonly number[], gap: number): boolean =>
  xs.some((x, i) => i > 0 && x - xs[i - 1]! < (widths[i]! + widths[i - 1]!) / 2 + gap - 1e-9);

test("labels with room stay over their marks", () => {
  assert.deepEqual(spread([{ x: 100, width: 60 }, { x: 300, width: 60 }], 500, 8), [100, 300]);
});

test("labels that would touch are moved apart by the same way, in their order", () => {
  assert.deepEqual(spread([{ x: 200, width: 60 }, { x: 210, width: 60 }], 500, 10), [170, 240]);
});

test("no label leaves the room and none touch, wherever the marks are", () => {
  for (const xs of [[0, 0, 0], [500, 500, 500], [10, 11, 490], [0, 250, 251]]) {
    const made = spread(xs.map((x) => ({ x, width: 80 })), 500, 8);
    assert.equal(touch(made, [80, 80, 80], 8), false, String(xs));
    assert.ok(made[0]! >= 40 - 1e-9 && made[2]! <= 460 + 1e-9, String(made));
  }
});

test("bars that overlap lie in lanes of their own", () => {
  const bar = (low: number, high: number) => ({ low, high });
  assert.deepEqual(lanes([bar(0, 10), bar(20, 30), bar(28, 40), bar(29, 50)], 2), [0, 0, 1, 2]);
  assert.deepEqual(lanes([], 2), []);
});

test("the goal's words follow the finger and keep the way their number was written", () => {
  assert.equal(withNumber("goal 5.0 %", 3.25), "goal 3.3 %");
  assert.equal(withNumber("цель 5,00 %", 3.2), "цель 3,20 %");
  assert.equal(withNumber("goal 5 %", 12.4), "goal 12 %");
  assert.equal(withNumber("no number", 1), "no number");
});

test("the handle moves by a round step, at most 0.001", () => {
  assert.deepEqual([stepOf([0, 0.1]), stepOf([0, 0.2]), stepOf([0, 1]), stepOf([0, 0.02])], [0.0002, 0.0005, 0.001, 0.0001]);
});

test("no error has no shade, few errors have some, and figures stay readable on the darkest", () => {
  assert.deepEqual([shadeOf(0, 200), shadeOf(2, 200), shadeOf(200, 200), shadeOf(1, 0)], [0, 0.1, 0.55, 0]);
});

test("images are whole pixels a cell where they are small, and bounded where they are large", () => {
  assert.deepEqual([sideOf(28, 13, 1), sideOf(28, 13, 2), sideOf(224, 13, 1)], [84, 70, 5.2 * 13]);
});
