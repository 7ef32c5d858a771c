import assert from "node:assert/strict";
import { test } from "node:test";
import { Sketch } from "../../src/explorer/sketch";

test("a stroke is full in its middle, soft at its edge, and nothing far away", () => {
  const sketch = new Sketch(28, 28);
  sketch.stroke(14.5, 5.5, 14.5, 20.5);
  const at = (y: number, x: number): number => sketch.pixels[y * 28 + x]!;
  assert.equal(at(12, 14), 255);
  assert.ok(at(12, 16) < 255 && at(12, 13) > 0);
  assert.equal(at(12, 20), 0);
  assert.equal(at(26, 14), 0);
});

test("a second stroke darkens nothing, and a stroke outside changes nothing", () => {
  const sketch = new Sketch(28, 28);
  sketch.stroke(10, 10, 12, 12);
  const before = sketch.pixels.slice();
  sketch.stroke(10, 10, 10, 10);
  assert.ok(sketch.pixels.every((level, i) => level >= before[i]!));
  const other = new Sketch(8, 8);
  other.stroke(-30, -30, -20, -20);
  assert.ok(other.empty);
});

test("clearing leaves nothing", () => {
  const sketch = new Sketch(8, 8);
  sketch.stroke(4, 4, 4, 4);
  assert.equal(sketch.empty, false);
  sketch.clear();
  assert.ok(sketch.empty);
});
