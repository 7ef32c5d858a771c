// The same store over the explorer's contract: whole records, none older than what is shown, files and drawings as bytes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { EXPLORER, type ExplorerSheet, type ExplorerStore } from "../../src/explorer/contract";
import { refusal } from "../../src/explorer/upload";
import type { Panel, Traits } from "../../src/explorer_wire";
import { forget, storeOf } from "../../src/store";
import { FakeModel } from "../fake/model";

Object.assign(globalThis, { window: globalThis.window ?? new EventTarget() });

const panel = (title: string): Panel => ({
  view: "maps", layer: "a", title, caption: "", notes: [], tiles: [], raster: null, other: null, difference: null, columns: [], charts: {}, figures: {}, ask: null, empty: "", busy: "",
});

function open(state: Partial<Traits> = {}): { model: FakeModel<ExplorerSheet>; store: ExplorerStore } {
  const model = new FakeModel<ExplorerSheet>({ options: {}, layer: "a", channel: 0, seq: 0, tree: [], panel: null, ...state });
  return { model, store: storeOf(model.wrapper("initialize"), EXPLORER) };
}

test("a record of an older message is not drawn, a newer one is, whole", () => {
  const { model, store } = open();
  model.receive({ seq: 7, panel: panel("new") });
  model.receive({ seq: 6, panel: panel("old") });
  assert.deepEqual([store.shown.panel?.title, store.shown.seq], ["new", 7]);
  model.receive({ seq: 8, panel: panel("newer") });
  assert.equal(store.shown.panel?.title, "newer");
  forget(store);
});

test("whatever stands first in the message, its own number judges it", () => {
  const { model, store } = open({ seq: 5, panel: panel("shown") });
  model.receive({ panel: panel("stale"), seq: 4 });
  assert.equal(store.shown.panel?.title, "shown");
  model.receive({ panel: panel("fresh"), seq: 6 });
  assert.equal(store.shown.panel?.title, "fresh");
  forget(store);
});

test("progress without a number of its own is shown after a stale message as well", () => {
  const { model, store } = open({ seq: 5 });
  model.receive({ seq: 4, panel: panel("stale") });
  model.receive({ task: { id: 1, name: "top9", label: "", progress: 0.5, text: "" } });
  assert.equal(store.get("task")?.progress, 0.5);
  forget(store);
});

test("a record that is gone is gone: nothing is merged", () => {
  const { model, store } = open({ seq: 1, panel: panel("a") });
  model.receive({ seq: 2, panel: null });
  assert.equal(store.shown.panel ?? null, null);
  forget(store);
});

test("a view that joins late shows what the model holds", () => {
  const { store } = open({ seq: 9, panel: panel("there") });
  assert.deepEqual([store.shown.panel?.title, store.shown.seq, store.shown.loaded], ["there", 9, true]);
  forget(store);
  const empty = open();
  assert.equal(empty.store.shown.loaded, false);
  forget(empty.store);
});

test("choices are sent without a gesture: there is no history", () => {
  const { model, store } = open();
  store.set("channel", 3);
  store.write("layer", "b", { discrete: true });
  assert.deepEqual(model.saves, [{ channel: 3 }, { layer: "b" }]);
  forget(store);
});

test("the chosen channel is shown at once, and a correction from Python wins", () => {
  const { model, store } = open();
  store.set("channel", 900);
  assert.equal(store.value("channel", 0), 900);
  model.receive({ channel: 63 });
  assert.equal(store.value("channel", 0), 63);
  forget(store);
});

test("two channels are switched off faster than one button is pressed twice", () => {
  const { model, store } = open();
  for (const channel of [4, 5, 5]) store.command("switch_off", { layer: "a", channel }, { key: `switch_off a ${channel}` });
  assert.deepEqual(model.sent.map((each) => each.args["channel"]), [4, 5]);
  forget(store);
});

test("a drawing goes as one buffer with its command", () => {
  const { model, store } = open();
  store.command("draw", { width: 2, height: 1 }, { buffers: [Uint8Array.from([1, 2]).buffer] });
  assert.deepEqual(model.sent[0]?.args, { width: 2, height: 1 });
  assert.deepEqual([...new Uint8Array(model.buffers[0]![0]!)], [1, 2]);
  forget(store);
});

test("a comm that comes back asks for the whole state", () => {
  const { model, store } = open();
  model.trigger("comm:close");
  store.onLive(true);
  assert.deepEqual(model.sent.map((each) => each.name), ["resync"]);
  forget(store);
  assert.equal(model.listening, 0);
});

test("a file is refused before it is sent: too large, or no image", () => {
  const file = (name: string, size: number, type: string) => ({ name, size, type });
  assert.equal(refusal(file("a.png", 1e6, "image/png"), 1e7), "");
  assert.equal(refusal(file("a.JPG", 1e6, ""), 1e7), "");
  assert.match(refusal(file("a.png", 12_300_000, "image/png"), 1e7), /a\.png has 12\.3 MB; at most 10\.0 MB/);
  for (const [name, type] of [["a.svg", "image/svg+xml"], ["a.pdf", "application/pdf"], ["weights.pt", ""]] as const) assert.match(refusal(file(name, 10, type), 1e7), /no image/);
});
