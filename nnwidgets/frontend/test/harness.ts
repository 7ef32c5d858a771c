// The widget without Jupyter: ?theme=dark|contrast &state=recipe|running|error|tuning|loading|gone|byhand|pair|filter &width=600 &size=large
import type { Model } from "../src/contract";
import type { LabSheet } from "../src/lab";
import { FakeKernel } from "./fake/kernel";

interface Widget {
  initialize(context: { model: Model<LabSheet> }): () => void;
  render(context: { model: Model<LabSheet>; el: HTMLElement }): () => void;
}

const query = new URLSearchParams(location.search);
const state = query.get("state") ?? "recipe";
const theme = query.get("theme");
if (theme) document.body.dataset["jpThemeLight"] = String(theme === "light");
if (theme === "contrast") document.body.dataset["jpThemeName"] = "Dark High Contrast";
document.body.style.background = theme && theme !== "light" ? "#111" : "#fff";

const widget = ((await import("../../static/compression_lab.js" as string)) as { default: Widget }).default;
const kernel = new FakeKernel(Number(query.get("pace") ?? 40));
const { model } = kernel;
widget.initialize({ model: model.wrapper("initialize") });

function show(): () => void {
  const el = document.createElement("div");
  el.style.width = query.has("width") ? `${query.get("width")}px` : "auto";
  document.getElementById("page")?.append(el);
  return widget.render({ model: model.wrapper(el), el });
}

const write = (writes: Record<string, unknown>): void => {
  for (const [name, value] of Object.entries(writes)) model.set(name as "sparsity", value as number);
  model.set("gesture", (model.get("gesture") ?? 0) + 1);
  model.save_changes();
};
const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const close = [show()];
if (state === "pair") close.push(show());
if (state !== "loading") {
  kernel.start();
  await wait(200);
  for (const step of [{ sparsity: 0.3 }, { sparsity: 0.5 }, { weight_bits: 8 }, { sparsity: 0.65 }, { weight_bits: 5 }, { sparsity: 0.72 }, { weight_bits: 4 }]) {
    if (query.has("dense")) break;
    write(step);
    await wait(200);
  }
}
if (state === "filter") write({ structure: "filter", sparsity: 0.3 });
if (state === "running") write({ sparsity: 0.8 });
if (state === "tuning") for (let i = 0; i < 25; i++) kernel.tune(i);
if (state === "gone") model.trigger("comm:close");
if (state === "silent") kernel.dead = !(model.alive = false);
if (state === "error") {
  model.receive({ status: "error", error: { title: "Fine-tuning stopped.", message: "The loss became NaN at step 12 with the rate 3.", next: "Lower the rate, then retry.", retry: true,
    traceback: "Traceback (most recent call last):\n  File \"fit.py\", line 88, in step\nModelError: loss is NaN <img src=x onerror=alert(1)>" },
    notices: [{ id: "changed", text: "The model was changed outside the widget: the figures were measured anew.", role: "warn" }] });
}
Object.assign(window, { kernel, model, close, ready: true });
