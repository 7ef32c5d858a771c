// Small words and lists of the cards.
import assert from "node:assert/strict";
import { test } from "node:test";
import { byLayer } from "../../src/explorer/Answers";
import { sentence } from "../../src/shell/Banners";

test("a title ends with one full stop, however it was written", () => {
  assert.deepEqual(["It failed", "It failed.", "Why?", "so far …"].map(sentence), ["It failed.", "It failed.", "Why?", "so far …"]);
});

test("channels that are off stand together by layer, the first touched first", () => {
  const off = (layer: string, channel: number) => ({ layer, channel, label: `${layer}: ${channel}` });
  const found = byLayer([off("b", 3), off("a", 1), off("b", 2)]);
  assert.deepEqual(found.map(([layer, items]) => [layer, items.map((each) => each.channel)]), [["b", [3, 2]], ["a", [1]]]);
});
