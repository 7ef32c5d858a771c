// The Python side of the layer explorer, played.
import type { Command } from "../../src/contract";
import type { ExplorerSheet } from "../../src/explorer/contract";
import type { CommandName, Input, Traits } from "../../src/explorer_wire";
import type { Choice, Help } from "../../src/wire";
import { large, small, type Net } from "./explorer_net";
import { answersOf, CLASSES, panelOf, unitOf, type State } from "./explorer_records";
import { FakeModel, type Writes } from "./model";
import { colours, digit, pack, scene, type Field } from "./rasters";

type Sent = Writes<ExplorerSheet>;
const choices = (...pairs: [Choice["value"], string][]): Choice[] => pairs.map(([value, label]) => ({ value, label }));
const HELP: Record<string, Help> = Object.fromEntries(
  ["layer", "order", "scale", "compare", "sample", "pick", "position", "input_channel", "training", "fresh", "answers", "switched", "channel", "image_index", "deconvnet", "top9", "histogram", "maps", "selectivity"]
    .map((name) => [name, { what: `What ${name.replaceAll("_", " ")} means, in two short sentences. It is one click away and closes with Esc.`, source: "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks (2014)" }]),
);

export class FakeExplorer {
  readonly net: Net;
  readonly model: FakeModel<ExplorerSheet>;
  ask = false; // large layers ask first
  private asked = false;
  private seq = 0;
  private off: { layer: string; channel: number }[] = [];
  private own: { bands: Field[]; side: number; text: string } | null = null;
  private readonly found = new Set<string>();
  private measured = false;
  private steps = 0;
  private timers: ReturnType<typeof setTimeout>[] = [];

  constructor(private readonly pace = 30, net: "small" | "large" = "small", private readonly drawn = false) {
    this.net = net === "large" ? large() : small();
    this.model = new FakeModel<ExplorerSheet>({
      seq: 0, status: "running", tree: [], panel: null, unit: null, input: null, answers: null, switched: { items: [], figures: {}, text: "" },
      about: { title: "Layer explorer", subtitle: net === "large" ? "a net of 400 rows" : "vgg_small on shapes", classes: CLASSES, max_upload: 10_000_000 }, help: HELP, task: null, last_task: null, error: null, notices: [],
      code: "import nnwidgets as nw\n\nexp = nw.load_example(\"shapes\")\nnw.LayerExplorer(exp)\n",
      options: {
        view: choices(["filters", "Filters"], ["maps", "Maps"], ["attention", "Attention"], ["histogram", "Histogram"], ["deconvnet", "Deconvnet"], ["top9", "Top 9"], ["training", "Training"]),
        order: choices(["index", "index"], ["mean", "mean"], ["variance", "variance"], ["maximum", "maximum"], ["selectivity", "class selectivity"]),
        scale: choices(["layer", "one"], ["tile", "each"]), sample: choices(["test", "test"], ["val", "validation"]), pick: choices(["index", "all"], ["class", "class"], ["worst", "worst"]),
      },
      layer: this.net.start, channel: 17, view: "maps", image_index: 214, sample: "test", pick: "index", picked_class: 0, order: "index", scale: "layer", input_channel: -1, position: "", compare: false, epochs: 1, learning_rate: 0.01, fresh: true,
    });
    this.model.onSave = (writes) => this.after(() => this.onSave(writes));
    this.model.onCommand = (command, buffers) => this.after(() => this.onCommand(command, buffers));
  }

  get<K extends keyof Traits>(name: K): Traits[K] {
    return this.model.get(name) as Traits[K];
  }

  get state(): State {
    const index = this.get("image_index");
    const side = this.own?.side ?? (this.drawn ? 28 : 32);
    const layer = this.get("layer");
    const image = this.own?.bands ?? (this.drawn ? [digit(index), digit(index), digit(index)] : scene(index, side));
    return {
      layer, site: this.net.sites.get(layer) ?? { channels: 8, side: 8, kernel: 0, inputs: 8 }, view: this.get("view"), channel: this.get("channel"), order: this.get("order"), scale: this.get("scale"), compare: this.get("compare"),
      position: this.get("position"), input_channel: this.get("input_channel"), image, side, index: this.own ? 1 : index, off: new Set(this.off.filter((each) => each.layer === layer).map((each) => each.channel)), steps: this.steps,
    };
  }

  start(): void {
    this.publish({ status: "idle", tree: this.tree, panel: this.panel(), unit: unitOf(this.state), input: this.input(), answers: this.answers() });
  }

  private get tree() {
    return this.net.nodes.map((node) => (this.measured ? node : { ...node, dead: null, dead_text: "" }));
  }

  private panel() {
    const state = this.state;
    const node = this.net.nodes.find((each) => each.id === state.layer);
    const made = panelOf(state, this.found.has(`${state.layer} ${state.channel}`));
    if (!node?.views.includes(state.view)) return { ...made, tiles: [], raster: null, charts: {}, columns: [], empty: `${state.layer} has no ${state.view}.` };
    if (this.ask && !this.asked && state.view === "maps") return { ...made, tiles: [], raster: null, ask: { text: `This layer: ${((state.site.channels * state.site.side ** 2 * 4) / 1e6).toFixed(1)} MB, about 0.4 s.`, label: "Show all the same" } };
    return made;
  }

  private input(): Input {
    const { image, side, index } = this.state;
    const mono = this.drawn || (this.own !== null && this.own.side === 28);
    const raster = mono ? pack([image[0]!], side, side, { kind: "grey", span: [0, 1] }) : colours([image], side, side, 0, 1);
    if (this.own) return { raster, title: "your own image", caption: this.own.text, index: -1, count: 4000, drawable: mono || this.drawn };
    return { raster, title: `image ${index}: ${CLASSES[index % 3]}`, caption: `of S_test; answered ${CLASSES[index % 3]}`, index, count: 4000, drawable: true, role: "ink" };
  }

  private answers() {
    return answersOf(this.state, this.off.length > 0, this.get("compare"));
  }

  private publish(update: Sent): void {
    this.seq += 1;
    this.model.receive({ seq: this.seq, ...update });
  }

  private everything(): void {
    this.publish({ status: "idle", panel: this.panel(), unit: unitOf(this.state), input: this.input(), answers: this.answers() });
  }

  private onSave(writes: Sent): void {
    const keys = Object.keys(writes);
    const { site } = this.state;
    if (keys.includes("layer")) {
      this.asked = false;
      if (this.get("channel") >= site.channels) this.model.receive({ channel: 0 });
      const node = this.net.nodes.find((each) => each.id === this.get("layer"));
      if (node?.views.length && !node.views.includes(this.get("view"))) this.model.receive({ view: node.views[0]! });
      this.model.receive({ position: "" });
    }
    if (keys.includes("image_index")) this.own = null;
    if (this.get("channel") >= site.channels) this.model.receive({ channel: site.channels - 1 });
    if (keys.every((key) => key === "channel" || key === "position") && (this.get("view") === "maps" || this.get("view") === "filters")) return this.publish({ unit: unitOf(this.state) });
    this.everything();
  }

  private switch(layer: string, channel: number, off: boolean): void {
    this.off = this.off.filter((each) => each.layer !== layer || each.channel !== channel);
    if (off) this.off.push({ layer, channel });
    const n = this.off.length;
    const accuracy = 0.964 - 0.0115 * n;
    const items = this.off.map((each) => ({ ...each, label: `${each.layer.split(".").pop()} ${each.channel}` }));
    const figures: Record<string, Traits["switched"]["figures"][string]> = n ? { accuracy: { raw: accuracy, value: (100 * accuracy).toFixed(1), unit: "% ± 0.6", notes: [{ text: `−${(1.15 * n).toFixed(1)} ± 0.3 against the network as it is`, role: "bad" }] } } : {};
    this.publish({ switched: { items, figures, text: n ? "812 of 4,000 images seen" : "" } });
    this.everything();
  }

  private onCommand({ name, args, id }: Command<CommandName>, buffers: ArrayBuffer[]): void {
    if (name === "switch_off" || name === "switch_on") this.switch(String(args["layer"]), Number(args["channel"]), name === "switch_off");
    else if (name === "switch_on_all") { this.off = []; this.switch("", -1, false); }
    else if (name === "show") { this.asked = true; this.everything(); }
    else if (name === "measure") this.work("statistics", "Measuring all layers:", 30, () => { this.measured = true; this.publish({ tree: this.tree }); });
    else if (name === "find_top") this.work("top9", "Looking for the nine strongest:", 12, () => { this.found.add(`${this.get("layer")} ${this.get("channel")}`); this.everything(); });
    else if (name === "draw" && buffers[0]) this.take(new Uint8Array(buffers[0]), Number(args["width"]), "yours, drawn");
    else if (name === "upload") this.take(null, 32, `${String(args["name"])}, resized from 640 × 480`);
    else if (name === "own_image_off") { this.own = null; this.everything(); }
    else if (name === "train_step") { this.steps += 1; this.everything(); }
    else if (name === "train_start") this.train();
    else if (name === "train_pause") { this.stop(); this.everything(); }
    else if (name === "train_reset") { this.stop(); this.steps = 0; this.everything(); }
    else if (name === "cancel") this.stop();
    else if (name === "retry" || name === "dismiss") this.model.receive({ error: null, notices: [], status: "idle" });
    else if (name === "figure") this.model.answer({ kind: "file", name: `explorer.${String(args["format"])}`, mime: "text/plain", id }, [new DataView(new TextEncoder().encode("figure").buffer)]);
    else if (name === "resync") this.start();
  }

  private take(levels: Uint8Array | null, side: number, text: string): void {
    const bands = levels ? [0, 1, 2].map(() => Float32Array.from(levels, (v) => v / 255)) : scene(999, side);
    this.own = { bands, side, text };
    this.everything();
  }

  private train(): void {
    this.model.receive({ status: "running", task: { id: 1, name: "training", label: "Training:", progress: (this.steps % 90) / 90, text: `step ${this.steps} of 90` } });
    this.steps += 1;
    if (this.steps >= 90) return this.stop();
    if (this.get("view") === "training") this.publish({ panel: this.panel() });
    this.after(() => this.train(), this.pace * 2);
  }

  private work(name: string, label: string, steps: number, done: () => void, at = 0): void {
    if (at >= steps) {
      this.model.receive({ task: null, last_task: { text: `${label.replace(":", "")}: done`, role: "good" }, status: "idle" });
      return done();
    }
    this.model.receive({ status: "running", task: { id: 1, name, label, progress: at / steps, text: `${at} of ${steps}, ${Math.ceil((steps - at) / 8)} s left` } });
    this.after(() => this.work(name, label, steps, done, at + 1), this.pace);
  }

  private stop(): void {
    for (const timer of this.timers.splice(0)) clearTimeout(timer);
    this.model.receive({ task: null, last_task: { text: "stopped", role: "muted" }, status: "idle" });
  }

  private after(what: () => void, ms = this.pace): void {
    const timer = setTimeout(() => {
      this.timers = this.timers.filter((each) => each !== timer);
      what();
    }, ms);
    this.timers.push(timer);
  }
}
