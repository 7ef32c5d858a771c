import assert from "node:assert/strict";
import { test } from "node:test";
import { allocations, byHand, BY_HAND, numbers } from "../../src/choices";
import { afterKey, continuous, discrete, percent, share, snap } from "../../src/controls/positions";
import { place } from "../../src/controls/place";
import { strings } from "../../src/strings";

const SHARE = continuous(0, 0.99, 0.01);
const BITS = discrete([32, 8, 7, 6, 5, 4, 3, 2, 1]);

test("steps carry no binary noise and stay in range", () => {
  assert.equal(snap(0.1 + 0.2, 0, 0.99, 0.01), 0.3);
  assert.deepEqual([snap(7, 0, 0.99, 0.01), snap(-1, 0, 0.99, 0.01)], [0.99, 0]);
});

test("the native input of a bit slider holds the bits themselves, 32 one past 8", () => {
  for (const bits of [1, 2, 3, 4, 5, 6, 7, 8]) assert.equal(BITS.toInput(bits), bits);
  assert.equal(BITS.toInput(32), 9);
  assert.deepEqual([BITS.min, BITS.max, BITS.reversed], [1, 9, true]);
});

test("positions and values are each other's inverse", () => {
  for (const list of [[32, 8, 7, 6, 5, 4, 3, 2, 1], [2, 4, 8], [32], [1, 2, 3], [32, 8, 4]]) {
    const range = discrete(list);
    for (const value of list) assert.equal(range.fromInput(range.toInput(value)), value);
  }
});

test("32 bit is at the left end, 1 bit at the right end", () => {
  assert.equal(share(BITS, 32), 0);
  assert.equal(share(BITS, 1), 1);
  assert.equal(share(SHARE, 0.99), 1);
  assert.equal(share(discrete([32]), 32), 0);
});

test("right and up go to the right end, Home and End to the ends", () => {
  assert.equal(afterKey("ArrowRight", 0.5, SHARE), 0.51);
  assert.equal(afterKey("ArrowDown", 0.5, SHARE), 0.49);
  assert.equal(afterKey("PageUp", 0.5, SHARE), 0.6);
  assert.equal(afterKey("PageDown", 0.05, SHARE), 0);
  assert.equal(afterKey("ArrowRight", BITS.toInput(32), BITS), 8);
  assert.equal(afterKey("Home", 3, BITS), BITS.toInput(32));
  assert.equal(afterKey("End", 3, BITS), BITS.toInput(1));
  assert.equal(afterKey("x", 3, BITS), null);
});

test("read-outs", () => {
  assert.deepEqual([percent(0.72), percent(0), strings.bits(4), strings.bits(32)], ["72 %", "0 %", "4 bit", "32 bit (as trained)"]);
});

test("bits come as numbers or as choices", () => {
  assert.deepEqual(numbers([32, { value: 8, label: "8" }, 4]), [32, 8, 4]);
});

test("by hand is added to the ways of spreading, once", () => {
  const given = [{ value: "global", label: "global" }];
  assert.deepEqual(allocations(given).map((each) => each.value), ["global", BY_HAND]);
  assert.deepEqual(allocations([...given, { value: "by_hand", label: "mine" }]).map((each) => each.value), ["global", BY_HAND]);
});

test("by hand names every layer that can be pruned so, and keeps what was set", () => {
  const layer = (name: string, ways: string[]) => ({ name, label: name, kind: "", shape: "", prunable_as: ways, params: "" });
  const row = (name: string, amount: number) => ({ name, amount, bits: 32, kept: "", bytes: "", macs: "" });
  const rows = [row("conv", 0.123), row("fc", 1)];
  const layers = [layer("conv", ["weight", "filter"]), layer("fc", ["weight"])];
  assert.deepEqual(byHand(rows, layers, "weight", "global"), { conv: 0.12, fc: 0.99 });
  assert.deepEqual(byHand(rows, layers, "filter", { conv: 0.5 }), { conv: 0.5 });
});

test("a popover stays inside the window and goes above where there is no room below", () => {
  const view = { width: 400, height: 300 };
  const anchor = { left: 380, right: 396, top: 10, bottom: 26 };
  assert.deepEqual(place(anchor, { width: 200, height: 100 }, view), { left: 192, top: 32 });
  assert.equal(place({ ...anchor, top: 270, bottom: 286 }, { width: 200, height: 100 }, view).top, 164);
  assert.equal(place(anchor, { width: 900, height: 900 }, view).left, 8);
});
