import assert from "node:assert/strict";
import { test } from "node:test";
import { initial, merge, NOTHING, replace } from "../../src/merge";
import type { Figure, View } from "../../src/wire";

const figure = (value: string): Figure => ({ raw: Number(value), value, unit: "", notes: [] });
const view = (seq: number, figures: Record<string, Figure>): View => ({ seq, generation: seq, figures, charts: {} });

test("a partial view keeps what it does not name", () => {
  const shown = merge(merge(NOTHING, view(1, { accuracy: figure("1"), macs: figure("2") })), view(2, { accuracy: figure("3") }));
  assert.equal(shown.figures["accuracy"]?.value, "3");
  assert.equal(shown.figures["macs"]?.value, "2");
  assert.equal(shown.seq, 2);
});

test("a view older than the one shown is dropped", () => {
  const shown = merge(NOTHING, view(5, { accuracy: figure("5") }));
  assert.equal(merge(shown, view(4, { accuracy: figure("4") })), shown);
});

test("a view with the same number is taken", () => {
  const shown = merge(NOTHING, view(5, { accuracy: figure("5") }));
  assert.equal(merge(shown, view(5, { macs: figure("6") })).figures["macs"]?.value, "6");
});

test("an equal record keeps its identity, so that it is not drawn again", () => {
  const shown = merge(NOTHING, view(1, { accuracy: figure("5") }));
  assert.equal(merge(shown, view(2, { accuracy: figure("5") })).figures["accuracy"], shown.figures["accuracy"]);
});

test("a complete view removes what it does not name", () => {
  const shown = merge(NOTHING, view(1, { accuracy: figure("1"), macs: figure("2") }));
  assert.deepEqual(Object.keys(replace(shown, view(2, { accuracy: figure("1") })).figures), ["accuracy"]);
});

test("an older or an empty complete view changes nothing", () => {
  const shown = merge(NOTHING, view(3, { accuracy: figure("1") }));
  assert.equal(replace(shown, view(2, { macs: figure("1") })), shown);
  assert.equal(replace(shown, view(4, {})), shown);
});

test("a late view starts from the snapshot and adds the newer partial view", () => {
  const shown = initial(view(3, { accuracy: figure("1"), macs: figure("2") }), view(4, { accuracy: figure("9") }));
  assert.deepEqual([shown.figures["accuracy"]?.value, shown.figures["macs"]?.value, shown.seq], ["9", "2", 4]);
  assert.equal(initial(view(3, { accuracy: figure("1") }), view(2, { accuracy: figure("8") })).figures["accuracy"]?.value, "1");
});

test("nothing, or nonsense, is not loaded", () => {
  for (const nonsense of [null, undefined, 3, "x", {}, { seq: "1" }]) assert.equal(initial(nonsense, nonsense).loaded, false);
  assert.equal(initial(null, view(1, { accuracy: figure("1") })).loaded, true);
});
