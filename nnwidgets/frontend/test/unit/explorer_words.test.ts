// Small words and lists of the cards.
import assert from "node:assert/strict";
import { test } from "node:test";
import { byLayer } from "../../src/explorer/Answers";
import { channelsOf } from "../../src/explorer/channels";
import type { Panel } from "../../src/explorer_wire";
import { sentence } from "../../src/shell/Banners";

test("a title ends with one full stop, however it was written", () => {
  assert.deepEqual(["It failed", "It failed.", "Why?", "so far …"].map(sentence), ["It failed.", "It failed.", "Why?", "so far …"]);
});

test("channels that are off stand together by layer, the first touched first", () => {
  const off = (layer: string, channel: number) => ({ layer, channel, label: `${layer}: ${channel}` });
  const found = byLayer([off("b", 3), off("a", 1), off("b", 2)]);
  assert.deepEqual(found.map(([layer, items]) => [layer, items.map((each) => each.channel)]), [["b", [3, 2]], ["a", [1]]]);
});

test("how many channels there are: as told, by the tiles, or not known", () => {
  const of = (more: Partial<Panel>): number => channelsOf({ view: "maps", tiles: [], ...more } as Panel);
  const tile = (id: number, label = String(id)) => ({ id, label, text: "" });
  assert.deepEqual([channelsOf(null), of({}), of({ tiles: [tile(4), tile(9), tile(0)] }), of({ tiles: [tile(4)], channels: 600 })], [0, 0, 10, 600]);
  assert.deepEqual([of({ view: "filters", tiles: [tile(0, "")] }), of({ view: "top9", tiles: [tile(0), tile(8)] })], [0, 0], "a matrix, ranks");
});
