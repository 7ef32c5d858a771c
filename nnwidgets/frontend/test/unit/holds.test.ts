import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, PATIENCE } from "../../src/connection";
import { Gestures, PAUSE } from "../../src/gestures";
import { Holds, REST } from "../../src/holds";

test("while a slider is dragged, an echo of an older value does not move it", () => {
  const holds = new Holds();
  holds.grab("sparsity", 0);
  holds.sent("sparsity", 0.4, 10);
  holds.sent("sparsity", 0.5, 20);
  assert.equal(holds.heard("sparsity", 0.4), false);
  assert.equal(holds.shown("sparsity", 0.4, 5000), 0.5);
});

test("a value that was never sent is a correction and is shown at once", () => {
  const holds = new Holds();
  holds.grab("sparsity", 0);
  holds.sent("sparsity", 0.99, 10);
  assert.equal(holds.heard("sparsity", 0.7), true);
  assert.equal(holds.shown("sparsity", 0.7, 11), 0.7);
});

test("the hold ends a while after the finger is gone", () => {
  const holds = new Holds();
  holds.grab("bits", 0);
  holds.sent("bits", 4, 0);
  assert.equal(holds.releaseAll(100), true);
  assert.equal(holds.shown("bits", 8, 99 + REST), 4);
  assert.equal(holds.shown("bits", 8, 100 + REST), 8);
  assert.equal(holds.releaseAll(200), false);
});

test("a control is moving while the pointer is down, and for a moment after", () => {
  const holds = new Holds();
  assert.equal(holds.moving("goal", 0), false);
  holds.grab("goal", 0);
  assert.equal(holds.moving("goal", 10 * REST), true);
  holds.release("goal", 5000);
  assert.deepEqual([4999, 5000].map((after) => holds.moving("goal", after + REST)), [true, false]);
});

test("a control that was only touched shows the model's value", () => {
  const holds = new Holds();
  holds.grab("bits", 0);
  assert.equal(holds.heard("bits", 8), false);
  assert.equal(holds.shown("bits", 8, 1), 8);
});

test("equal mappings are echoes, not corrections", () => {
  const holds = new Holds();
  holds.sent("allocation", { a: 0.1 }, 0);
  assert.equal(holds.heard("allocation", { a: 0.1 }), false);
  assert.equal(holds.heard("allocation", "global"), true);
});

test("a drag is one gesture however many values it sends and however long it rests", () => {
  const gestures = new Gestures();
  gestures.begin();
  assert.equal(gestures.next("sparsity", 0, false), true);
  assert.deepEqual([10, 20, 5000].map((now) => gestures.next("sparsity", now, false)), [false, false, false]);
  gestures.end();
  gestures.begin();
  assert.equal(gestures.next("sparsity", 5010, false), true);
});

test("key presses without a rest are one gesture", () => {
  const gestures = new Gestures();
  assert.equal(gestures.next("bits", 0, false), true);
  assert.equal(gestures.next("bits", PAUSE - 1, false), false);
  assert.equal(gestures.next("bits", 2 * PAUSE - 2, false), false);
  assert.equal(gestures.next("bits", 3 * PAUSE, false), true);
});

test("another control, or a click, begins a gesture", () => {
  const gestures = new Gestures();
  gestures.next("bits", 0, false);
  assert.equal(gestures.next("sparsity", 1, false), true);
  assert.equal(gestures.next("structure", 2, true), true);
  assert.equal(gestures.next("structure", 3, true), true);
});

test("silence after a change is noticed after five seconds, and forgotten with the next word", () => {
  const link = new Connection();
  assert.equal(link.state(1e6), "live");
  link.sent(100);
  link.sent(3000);
  assert.equal(link.due(3000), PATIENCE - 2900);
  assert.equal(link.state(99 + PATIENCE), "live");
  assert.equal(link.state(100 + PATIENCE), "silent");
  link.heard();
  assert.equal(link.state(1e6), "live");
  link.gone = true;
  assert.equal(link.state(0), "gone");
});
