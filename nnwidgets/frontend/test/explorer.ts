// The explorer without Jupyter: ?theme=dark|contrast &view=maps &layer= &channel= &net=large &state=loading|error|running|gone|ask|off|measured|compare|top9|pair &width=600 &digits
import type { Model } from "../src/contract";
import type { ExplorerSheet } from "../src/explorer/contract";
import { FakeExplorer } from "./fake/explorer_kernel";

interface Widget {
  initialize(context: { model: Model<ExplorerSheet> }): () => void;
  render(context: { model: Model<ExplorerSheet>; el: HTMLElement }): () => void;
}

const query = new URLSearchParams(location.search);
const states = (query.get("state") ?? "").split(",");
const theme = query.get("theme");
if (theme) document.body.dataset["jpThemeLight"] = String(theme === "light");
if (theme === "contrast") document.body.dataset["jpThemeName"] = "Dark High Contrast";
document.body.style.background = theme && theme !== "light" ? "#111" : "#fff";

const widget = ((await import("../../static/layer_explorer.js" as string)) as { default: Widget }).default;
const kernel = new FakeExplorer(Number(query.get("pace") ?? 30), query.get("net") === "large" ? "large" : "small", query.has("digits"));
const { model } = kernel;
for (const name of ["layer", "view"] as const) if (query.has(name)) model.set(name, query.get(name) as never);
if (query.has("channel")) model.set("channel", Number(query.get("channel")));
if (states.includes("compare")) model.set("compare", true);
if (states.includes("each")) model.set("scale", "tile");
kernel.ask = states.includes("ask");
widget.initialize({ model: model.wrapper("initialize") });

function show(): () => void {
  const el = document.createElement("div");
  el.style.width = query.has("width") ? `${query.get("width")}px` : "auto";
  document.getElementById("page")?.append(el);
  return widget.render({ model: model.wrapper(el), el });
}

const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
const command = (name: string, args: Record<string, string | number> = {}): void => model.send({ kind: "command", name: name as "show", args, id: "0" });

const close = [show()];
if (states.includes("pair")) close.push(show());
if (!states.includes("loading")) kernel.start();
if (states.includes("measured")) command("measure");
if (states.includes("off")) for (const channel of [4, 17, 22]) command("switch_off", { layer: kernel.net.start, channel });
if (states.includes("top9")) command("find_top");
if (states.includes("trained")) for (let i = 0; i < 40; i += 1) command("train_step");
await wait(states.includes("measured") || states.includes("top9") ? 1600 : 300);
if (states.includes("running")) command("measure");
if (states.includes("gone")) model.trigger("comm:close");
if (states.includes("busy")) model.receive({ seq: 999, panel: { ...model.get("panel")!, raster: null, busy: "capturing 64 maps" } });
if (states.includes("error")) {
  model.receive({ status: "error", error: { title: "The image could not be read.", message: "photo.gif has 214 frames.", next: "Save one frame as PNG, then upload it.", retry: false, traceback: "Traceback (most recent call last):\n  File \"images.py\", line 88\nImageError: <img src=x onerror=alert(1)>" },
    notices: [{ id: "changed", text: "The model was changed outside the widget: it was measured anew.", role: "warn" }] });
}
Object.assign(window, { kernel, model, close, ready: true });
