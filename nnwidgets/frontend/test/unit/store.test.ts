// The store over a fake model: what is written, in how many messages, and what is let go of.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LAB, type LabStore } from "../../src/lab";
import { forget, storeOf } from "../../src/store";
import type { Traits } from "../../src/wire";
import { FakeModel } from "../fake/model";

Object.assign(globalThis, { window: new EventTarget() });

function open(state: Partial<Traits> = {}): { model: FakeModel; store: LabStore } {
  const model = new FakeModel({ options: {}, gesture: 0, sparsity: 0, weight_bits: 32, ...state });
  return { model, store: storeOf(model.wrapper("initialize"), LAB) };
}

test("a value and its gesture go in one message", () => {
  const { model, store } = open();
  store.write("sparsity", 0.5);
  assert.deepEqual(model.saves, [{ gesture: 1, sparsity: 0.5 }]);
  forget(store);
});

test("a drag counts one gesture, each click one more", () => {
  const { model, store } = open();
  store.grab("sparsity");
  for (const value of [0.1, 0.2, 0.3]) store.write("sparsity", value);
  window.dispatchEvent(new Event("pointerup"));
  store.write("structure", "filter", { discrete: true });
  assert.equal(model.get("gesture"), 2);
  forget(store);
});

test("settings that are no step of the history count no gesture", () => {
  const { model, store } = open({ epochs: 3 });
  store.set("epochs", 5);
  assert.deepEqual(model.saves, [{ epochs: 5 }]);
  forget(store);
});

test("the wrappers of one model share a store, those of another do not", () => {
  const { model, store } = open();
  assert.equal(storeOf(model.wrapper("view"), LAB), store);
  const other = open();
  assert.notEqual(other.store, store);
  forget(store);
  forget(other.store);
});

test("a correction from Python is shown although the control is held", () => {
  const { model, store } = open();
  store.write("sparsity", 0.9);
  model.receive({ sparsity: 0.6 });
  assert.equal(store.value("sparsity", 0), 0.6);
  forget(store);
});

test("an older view is dropped, a newer one merged", () => {
  const { model, store } = open();
  const view = (seq: number, value: string) => ({ seq, generation: 1, figures: { accuracy: { raw: 1, value, unit: "%", notes: [] } }, charts: {} });
  model.receive({ view: view(7, "new") });
  model.receive({ view: view(6, "old") });
  assert.equal(store.shown.figures["accuracy"]?.value, "new");
  forget(store);
});

test("a second click before or just after the answer sends nothing", () => {
  const { model, store } = open();
  store.command("fine_tune");
  store.command("fine_tune");
  model.receive({ task: { id: 1, name: "fine_tune", label: "", progress: 0, text: "" } });
  store.command("fine_tune");
  assert.equal(model.sent.length, 1);
  forget(store);
});

test("undo may be pressed again as soon as it was answered", () => {
  const { model, store } = open();
  store.command("undo");
  store.command("undo");
  model.receive({ seq: 1 });
  store.command("undo");
  assert.equal(model.sent.length, 2);
  forget(store);
});

test("a comm that comes back asks for the whole state", () => {
  const { model, store } = open();
  model.trigger("comm:close");
  assert.equal(store.link, "gone");
  store.onLive(true);
  assert.equal(store.link, "live");
  assert.deepEqual(model.sent.map((each) => each.name), ["resync"]);
  forget(store);
});

test("a forgotten store listens to nothing", () => {
  const { model, store } = open();
  assert.ok(model.listening > 0);
  forget(store);
  assert.equal(model.listening, 0);
});
