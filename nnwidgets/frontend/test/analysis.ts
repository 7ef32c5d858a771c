// The error analysis without Jupyter: ?theme=dark|contrast &goal= &selected= &panel= &width=600
// &state=loading|fresh|running|applied|hall|practice|revealed|recorded|gone|error|large
import type { AnalysisSheet } from "../src/analysis/contract";
import type { Model } from "../src/contract";
import { FakeAnalysis } from "./fake/analysis_kernel";

interface Widget {
  initialize(context: { model: Model<AnalysisSheet> }): () => void;
  render(context: { model: Model<AnalysisSheet>; el: HTMLElement }): () => void;
}

const query = new URLSearchParams(location.search);
const states = (query.get("state") ?? "").split(",");
const theme = query.get("theme");
if (theme) document.body.dataset["jpThemeLight"] = String(theme === "light");
if (theme === "contrast") document.body.dataset["jpThemeName"] = "Dark High Contrast";
document.body.style.background = theme && theme !== "light" ? "#111" : "#fff";

const widget = ((await import("../../static/error_analysis.js" as string)) as { default: Widget }).default;
const kernel = new FakeAnalysis(Number(query.get("pace") ?? 30));
const { model } = kernel;
for (const name of ["selected", "panel", "pair", "sample"] as const) if (query.has(name)) model.set(name, query.get(name)!);
if (query.has("goal")) model.set("goal", Number(query.get("goal")));
if (states.includes("recorded")) model.set("recorded", "recorded: 2026-11-20, 2 cores");
widget.initialize({ model: model.wrapper("initialize") });

const el = document.createElement("div");
el.style.width = query.has("width") ? `${query.get("width")}px` : "auto";
document.getElementById("page")?.append(el);
const close = widget.render({ model: model.wrapper(el), el });

const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const command = (name: string, args: Record<string, string | number | boolean> = {}): void => model.send({ kind: "command", name: name as "run_all",
  args, id: "0" });

if (!states.includes("loading")) kernel.start();
if (states.includes("practice") || states.includes("revealed")) {
  command("practice", { seed: 7 });
  await wait(100);
  if (states.includes("revealed")) command("guess", { cause: "labels" });
} else if (!states.includes("loading") && !states.includes("fresh")) kernel.tested();
if (states.includes("hall")) command("hall", { on: true });
if (states.includes("applied")) {
  command("apply", { remedy: "drop" });
  await wait(15 * 5 * Number(query.get("pace") ?? 30));
}
await wait(300);
if (states.includes("large")) el.querySelector<HTMLElement>('[data-nnw-action="menu"]')?.click();
await wait(50);
if (states.includes("large")) {
  el.querySelector<HTMLElement>('[data-nnw-action="large"] input')?.click();
  el.querySelector<HTMLElement>('[data-nnw-action="menu"]')?.click();
}
if (states.includes("running")) command("run_all");
if (states.includes("gone")) model.trigger("comm:close");
if (states.includes("error")) {
  model.receive({ status: "error", error: { title: "The test could not be run.", message: "The loss is not a number after 12 steps.",
    next: "Lower the learning rate, then test again.", retry: true,
    traceback: "Traceback (most recent call last):\nValueError: <img src=x onerror=alert(1)>" } });
}
await wait(100);
Object.assign(window, { kernel, model, close, ready: true });
