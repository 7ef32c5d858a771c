// Folding and walking of the structure tree.
import assert from "node:assert/strict";
import { test } from "node:test";
import { after, afterKey, around, folded, reveal, rows } from "../../src/explorer/branches";
import type { Node } from "../../src/explorer_wire";
import { large, small } from "../fake/explorer_net";

const node = (id: string, depth: number, container = false): Node => ({
  id, name: id, call: 0, path: id, kind: "", depth, shape: "", params: "", macs: "", share: 0, dead: null, dead_text: "", container, views: ["maps"], reason: "",
});
const NODES = [node("a", 0, true), node("a.b", 1, true), node("a.b.c", 2), node("a.d", 1), node("e", 0)];
const shown = (closed: string[]): string[] => rows(NODES, new Set(closed)).map((i) => NODES[i]!.id);

test("a folded container hides all that is below it", () => {
  assert.deepEqual(shown([]), ["a", "a.b", "a.b.c", "a.d", "e"]);
  assert.deepEqual(shown(["a.b"]), ["a", "a.b", "a.d", "e"]);
  assert.deepEqual(shown(["a"]), ["a", "e"]);
  assert.deepEqual(shown(["e", "a.d"]), ["a", "a.b", "a.b.c", "a.d", "e"], "a leaf does not fold");
});

test("a branch ends where the depth falls back; the way up is innermost first", () => {
  assert.deepEqual([after(NODES, 0), after(NODES, 1), after(NODES, 4)], [4, 3, 5]);
  assert.deepEqual(around(NODES, 2), [1, 0]);
});

test("a small tree opens whole, a large one only the way to the layer", () => {
  const { nodes } = small();
  assert.equal(folded(nodes, "features.relu1").size, 0);
  const big = large();
  const open = rows(big.nodes, folded(big.nodes, big.start)).map((i) => big.nodes[i]!.id);
  assert.ok(big.nodes.length > 300 && open.length < 40);
  assert.ok(open.includes(big.start));
});

test("a layer chosen from code is uncovered, and nothing else is", () => {
  assert.deepEqual([...reveal(NODES, new Set(["a", "a.b"]), "a.b.c")], []);
  assert.deepEqual([...reveal(NODES, new Set(["a", "a.b"]), "a.d")], ["a.b"]);
  const closed = new Set(["a.b"]);
  assert.equal(reveal(NODES, closed, "e"), closed, "nothing to do: the very same set");
});

test("keys walk the rows that show", () => {
  const go = (key: string, at: string, closed: string[] = []) => afterKey(key, NODES, new Set(closed), at);
  assert.deepEqual(go("ArrowDown", "a"), { to: "a.b" });
  assert.deepEqual(go("ArrowDown", "a", ["a"]), { to: "e" });
  assert.deepEqual(go("ArrowDown", "e"), { to: "e" });
  assert.deepEqual(go("ArrowUp", "e", ["a"]), { to: "a" });
  assert.deepEqual([go("Home", "e"), go("End", "a")], [{ to: "a" }, { to: "e" }]);
});

test("right opens, then enters; left closes, then goes up", () => {
  const go = (key: string, at: string, closed: string[] = []) => afterKey(key, NODES, new Set(closed), at);
  assert.deepEqual(go("ArrowRight", "a", ["a"]), { open: "a" });
  assert.deepEqual(go("ArrowRight", "a"), { to: "a.b" });
  assert.deepEqual(go("ArrowRight", "a.d"), {});
  assert.deepEqual(go("ArrowLeft", "a.b"), { close: "a.b" });
  assert.deepEqual(go("ArrowLeft", "a.b", ["a.b"]), { to: "a" });
  assert.deepEqual(go("ArrowLeft", "a.b.c"), { to: "a.b" });
});

test("a letter goes to the next row that begins with it, round the end", () => {
  const go = (key: string, at: string) => afterKey(key, NODES, new Set(), at);
  assert.deepEqual(go("e", "a"), { to: "e" });
  assert.deepEqual(go("A", "e"), { to: "a" });
  assert.deepEqual(go("z", "a"), {});
  assert.equal(go("F5", "a"), null);
});
