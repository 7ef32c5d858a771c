// The same store over the contract of the error analysis: whole records, none older than what is shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANALYSIS, type AnalysisSheet, type AnalysisStore } from "../../src/analysis/contract";
import type { AnalysisRead, AnalysisWritten, Flow, FlowNode } from "../../src/analysis_wire";
import { forget, storeOf } from "../../src/store";
import { FakeModel } from "../fake/model";

Object.assign(globalThis, { window: globalThis.window ?? new EventTarget() });

const node = (id: string): FlowNode => ({ id, kind: "leaf", title: id, text: "", column: "train", state: "off", badge: "none", cost: "", place: 0,
  extension: false, busy: false });
const flow = (...ids: string[]): Flow => ({ nodes: ids.map(node), edges: [], sentence: ids.join() });

function open(state: Partial<AnalysisRead & AnalysisWritten> = {}): { model: FakeModel<AnalysisSheet>; store: AnalysisStore } {
  const options = { budget: [], seeds: [], sample: [], order: [], panel: [] };
  const model = new FakeModel<AnalysisSheet>({ options, seq: 0, flow: flow(), detail: null, board: null, goal: 0.05, ...state });
  return { model, store: storeOf(model.wrapper("initialize"), ANALYSIS) };
}

test("a flowchart of an older message is not drawn, a newer one is, whole", () => {
  const { model, store } = open();
  model.receive({ seq: 7, flow: flow("a", "b") });
  model.receive({ seq: 6, flow: flow("old") });
  assert.deepEqual([store.shown.flow?.sentence, store.shown.seq, store.shown.loaded], ["a,b", 7, true]);
  model.receive({ seq: 8, flow: flow("c") });
  assert.deepEqual(store.shown.flow?.nodes.map(({ id }) => id), ["c"]);
  forget(store);
});

test("records of one message come one by one, in any order; its number judges each", () => {
  const { model, store } = open({ seq: 3, flow: flow("shown") });
  model.receive({ track: [], flow: flow("stale"), seq: 2 });
  assert.equal(store.shown.flow?.sentence, "shown");
  model.receive({ flow: flow("fresh"), board: null, seq: 4 });
  assert.equal(store.shown.flow?.sentence, "fresh");
  forget(store);
});

test("a view that joins late shows what the model holds; without boxes it waits", () => {
  const { store } = open({ seq: 9, flow: flow("there") });
  assert.deepEqual([store.shown.loaded, store.shown.seq], [true, 9]);
  forget(store);
  const empty = open();
  assert.equal(empty.store.shown.loaded, false);
  forget(empty.store);
});

test("the dragged goal is shown at once, and the kernel's echo of an older place does not pull it back", () => {
  const { model, store } = open();
  store.grab("goal");
  store.write("goal", 0.04);
  store.write("goal", 0.03);
  model.receive({ goal: 0.04 });
  assert.equal(store.value("goal", 0), 0.03);
  assert.deepEqual(model.saves, [{ goal: 0.04 }, { goal: 0.03 }]);
  forget(store);
});

test("two tests are asked for faster than one button is pressed twice", () => {
  const { model, store } = open();
  for (const name of ["a", "b", "b"]) store.command("run_test", { test: name }, { key: `run_test ${name}` });
  assert.deepEqual(model.sent.map((each) => each.args["test"]), ["a", "b"]);
  forget(store);
});
