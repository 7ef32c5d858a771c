// The Python side, played: answers to traits and commands with changing figures, history, jobs and errors.
import type { Command } from "../../src/contract";
import type { Chart, Choice, CommandName, Figure, Help, History, Traits } from "../../src/wire";
import { FakeModel, type Writes } from "./model";
import { amounts, DENSE, measure, NET, OTHER_BYTES, WEIGHTS, type Recipe } from "./net";
import { bar, histogram, layers, loss, pareto, type Visited } from "./records";

const N = 4000;
const kB = (bytes: number): string => (bytes / 1000).toFixed(bytes < 100_000 ? 1 : 0);
const M = (macs: number): string => (macs / 1e6).toFixed(1);
const choice = (value: Choice["value"], label: string, disabled?: string): Choice => ({ value, label, help: { what: `${label}.` }, ...(disabled ? { disabled } : {}) });

const HELP: Record<string, Help> = Object.fromEntries(
  ["sparsity", "structure", "criterion", "allocation", "norm", "weight_bits", "granularity", "symmetric", "sample", "fine_tune", "epochs", "learning_rate", "accuracy", "size_encoded", "macs_nonzero", "latency", "pareto", "histogram", "layers"]
    .map((name) => [name, { what: `What ${name.replaceAll("_", " ")} means, in two short sentences. It is one click away and closes with Esc.`, formula: "s = max|w| / (2^(b−1) − 1)", source: "Han et al., Deep Compression (2016)" }]),
);

const START: Partial<Traits> = {
  sparsity: 0, structure: "weight", criterion: "magnitude", allocation: "global", norm: 1, weight_bits: 32, activation_bits: 32, granularity: "channel",
  symmetric: true, observer: "minmax", sample: "test", selected_layer: "layer2.0.conv1", epochs: 3, learning_rate: 0.001, gesture: 0,
  seq: 0, status: "running", view: null, snapshot_view: null, task: null, last_task: null, error: null, notices: [], help: HELP,
  about: { title: "Compression lab", subtitle: "resnet20 on digits, 4,000 test images", n_test: N, n_val: 1000, output_layer: "fc", version: "0.1.0" },
  options: {
    structure: [choice("weight", "weights"), choice("filter", "filters")], criterion: [choice("magnitude", "magnitude"), choice("random", "random")],
    allocation: [choice("global", "global"), choice("uniform", "uniform")], norm: [choice(1, "L1"), choice(2, "L2")],
    weight_bits: [32, 8, 7, 6, 5, 4, 3, 2, 1], activation_bits: [32], granularity: [choice("tensor", "per tensor"), choice("channel", "per channel")],
    symmetric: [choice(true, "symmetric"), choice(false, "affine")], observer: [choice("minmax", "min and max")], sample: [choice("test", "test"), choice("val", "validation")],
  },
  layers: NET.map((l) => ({ name: l.name, label: l.name, kind: l.kind, shape: l.shape, prunable_as: l.kind === "Conv2d" ? ["weight", "filter"] : ["weight"], params: String(l.weights) })),
  history: { can_undo: false, can_redo: false, can_reset: false, position: 0, length: 1, snapshots: [] },
  code: "import nnwidgets as nw\nfrom nnwidgets import engine as E\n\nexp = nw.load_example(\"digits/resnet20\")\nexp.apply(E.Recipe(pruning=E.Pruning(amount=0.72)))\n",
  layer_rows: [],
};

const KEPT = ["sparsity", "structure", "criterion", "allocation", "norm", "weight_bits", "granularity", "symmetric"] as const;

export class FakeKernel {
  readonly model = new FakeModel({ ...START });
  dead = false;
  private seq = 0;
  private generation = 0;
  private tuned = false;
  private timers: ReturnType<typeof setTimeout>[] = [];
  private readonly trail: Visited[] = [{ bytes: WEIGHTS * 4 + OTHER_BYTES, accuracy: DENSE, tuned: false }];
  private past: Partial<Traits>[] = [{}];
  private position = 0;
  private gesture = 0;
  private saved: { name: string; text: string }[] = [];

  constructor(private readonly pace = 40) {
    this.model.onSave = (writes) => !this.dead && this.onSave(writes);
    this.model.onCommand = (command) => !this.dead && this.onCommand(command);
  }

  get recipe(): Recipe {
    const get = <K extends keyof Traits>(name: K): Traits[K] => this.model.get(name) as Traits[K];
    return { sparsity: get("sparsity"), structure: get("structure"), allocation: get("allocation"), bits: get("weight_bits") as number, granularity: get("granularity"), symmetric: get("symmetric"), tuned: this.tuned };
  }

  /** Costs at once, accuracy in three helpings. */
  start(): void {
    for (const timer of this.timers.splice(0)) clearTimeout(timer);
    this.generation += 1;
    const measured = measure(this.recipe);
    this.publish("running", this.costs(), { histogram: histogram(String(this.model.get("selected_layer")), this.recipe), layers: layers(measured) });
    [0.1, 0.4, 1].forEach((share, i) => this.timers.push(setTimeout(() => this.stream(share), this.pace * (i + 1))));
  }

  private stream(share: number): void {
    const measured = measure(this.recipe);
    const seen = Math.round(N * share);
    const half = share === 1 ? 0 : 0.6 * Math.sqrt((measured.accuracy * (1 - measured.accuracy)) / seen) * Math.sqrt(1 - share) + 0.002;
    const shaken = Math.min(1, measured.accuracy + half * 0.4 * Math.sin(seen));
    const here: Visited = { bytes: measured.encoded, accuracy: shaken, tuned: this.tuned };
    const trail = [...this.trail, here];
    if (share === 1) this.trail.push(here);
    this.publish(share === 1 ? "idle" : "running", { ...this.quality(shaken, half, seen) }, { pareto: pareto(trail.slice(-14), half) });
    if (share === 1) this.model.receive({ snapshot_view: { seq: this.seq, generation: this.generation, figures: { ...this.costs(), ...this.quality(shaken, half, seen) },
      charts: { pareto: pareto(trail.slice(-14), half), histogram: histogram(String(this.model.get("selected_layer")), this.recipe), layers: layers(measured) } } });
  }

  private quality(accuracy: number, half: number, seen: number): Record<string, Figure> {
    const less = accuracy - DENSE;
    const text = `${less >= 0 ? "+" : "−"}${Math.abs(100 * less).toFixed(1)}${half ? ` ± ${(80 * half).toFixed(1)}` : ""} to dense`;
    return {
      accuracy: {
        raw: accuracy, value: (100 * accuracy).toFixed(1), unit: half ? `% ± ${(100 * half).toFixed(1)}` : "%", bar: bar("accuracy", "Accuracy", accuracy, 1, "accent", [accuracy - half, accuracy + half], 0.97),
        notes: [{ text: half ? `${seen.toLocaleString("en")} of 4,000 seen` : "all 4,000 seen", name: "n_seen", raw: seen }, { text, role: less < -0.005 ? "bad" : "good" }],
      },
      dense_accuracy: { raw: DENSE, value: (100 * DENSE).toFixed(1), unit: "%", notes: [] },
      looks: { raw: this.generation, value: String(this.generation), unit: "", notes: [] },
    };
  }

  private costs(): Record<string, Figure> {
    const m = measure(this.recipe);
    const full = WEIGHTS * 4 + OTHER_BYTES;
    const bits = this.recipe.bits;
    return {
      size_encoded: { raw: m.encoded, value: kB(m.encoded), unit: "kB", bar: bar("size", "Size", m.encoded, full, "accent"), notes: [
        { text: `${(full / m.encoded).toFixed(1)}× smaller` }, { text: `nominal ${kB(m.nominal)} kB`, name: "size_nominal", raw: m.nominal }, { text: "on disk: not measured", name: "size_on_disk", raw: null }] },
      macs_nonzero: { raw: m.nonzero, value: M(m.nonzero), unit: "MMAC", bar: bar("macs", "MACs", m.nonzero, NET.reduce((s, l) => s + l.macs, 0), "accent"), notes: [
        { text: "on nonzero weights" }, { text: `executed ${M(m.macs)} M`, name: "macs", raw: m.macs }] },
      latency: { raw: null, value: "–", unit: "", role: "muted", notes: [{ text: bits < 32 ? `${bits} bit is simulated: no time of its own` : "not measured" }], action: { label: "measure", command: "measure_latency" } },
      sparsity: { raw: m.share, value: (100 * m.share).toFixed(1), unit: "%", notes: [] },
    };
  }

  private publish(status: Traits["status"], figures: Record<string, Figure>, charts: Record<string, Chart>): void {
    const m = measure(this.recipe);
    const rows = NET.map((layer, i) => ({ name: layer.name, amount: amounts(this.recipe)[i]!, bits: 32, kept: `${Math.round(layer.weights * m.kept[i]!).toLocaleString("en")}`, bytes: `${kB((layer.weights * m.kept[i]! * this.recipe.bits) / 8)} kB`, macs: `${(layer.macs / 1e6).toFixed(2)} M` }));
    this.seq += 1;
    this.model.receive({ seq: this.seq, status, view: { seq: this.seq, generation: this.generation, figures, charts }, layer_rows: rows });
  }

  private get history(): History {
    return { can_undo: this.position > 0, can_redo: this.position < this.past.length - 1, can_reset: this.position > 0, position: this.position, length: this.past.length, snapshots: this.saved };
  }

  private traits(): Partial<Traits> {
    return Object.fromEntries(KEPT.map((name) => [name, this.model.get(name)]));
  }

  private onSave(writes: Writes): void {
    setTimeout(() => {
      const gesture = this.model.get("gesture") ?? 0;
      if (gesture !== this.gesture) {
        if (this.position === 0) this.past[0] = { ...this.traits(), ...Object.fromEntries(Object.keys(this.traits()).map((k) => [k, START[k as keyof Traits]])) };
        this.past = this.past.slice(0, ++this.position);
        this.gesture = gesture;
      }
      this.past[this.position] = this.traits();
      if ((writes.sparsity ?? 0) > 0.99) this.model.receive({ sparsity: 0.99 });
      this.model.receive({ history: this.history });
      this.start();
    }, 8);
  }

  private go(position: number): void {
    this.position = Math.max(0, Math.min(this.past.length - 1, position));
    this.model.receive({ ...this.past[this.position], history: this.history });
    this.start();
  }

  private onCommand({ name, args, id }: Command<CommandName>): void {
    if (name === "undo") this.go(this.position - 1);
    else if (name === "redo") this.go(this.position + 1);
    else if (name === "reset") this.go(0);
    else if (name === "snapshot_save") this.saved = [...this.saved, { name: String(args["name"]), text: `${Math.round(100 * this.recipe.sparsity)} % removed, ${this.recipe.bits} bit` }];
    else if (name === "snapshot_delete") this.saved = this.saved.filter((each) => each.name !== args["name"]);
    else if (name === "fine_tune") this.tune(0);
    else if (name === "cancel") this.tuneDone({ text: "cancelled: nothing was changed", role: "muted" });
    else if (name === "dismiss" || name === "retry") this.model.receive({ error: null, status: "idle" });
    else if (name === "measure_latency") setTimeout(() => this.publish("idle", { latency: { raw: 4.2, value: "4.2", unit: "ms (3.9 to 4.6)", bar: bar("latency", "Latency", 4.2, 5, "accent"), notes: [{ text: "batch 1, 1 thread, fp32" }] } }, {}), 300);
    else if (name === "figure") this.model.answer({ kind: "file", name: `lab.${String(args["format"])}`, mime: "text/plain", id }, [new DataView(new TextEncoder().encode("figure").buffer)]);
    this.model.receive({ history: this.history });
    if (name === "measure_disk") this.model.answer({ kind: "said", text: "On disk 66.1 kB.", id });
  }

  tune(step: number): void {
    const last = 60;
    if (step >= last) {
      this.tuned = true;
      this.start();
      return this.tuneDone({ text: "fine-tuned: 96.1 → 97.4 %", role: "good" });
    }
    const left = Math.round(((last - step) * this.pace) / 100);
    this.model.receive({ status: "running", task: { id: 1, name: "fine_tune", label: "Fine-tuning:", progress: step / last, text: `epoch ${1 + Math.floor(step / 20)} of 3, ${left} s left`, chart: loss(step + 1) } });
    this.timers.push(setTimeout(() => this.tune(step + 1), this.pace * 2));
  }

  private tuneDone(last_task: Traits["last_task"]): void {
    for (const timer of this.timers.splice(0)) clearTimeout(timer);
    this.model.receive({ task: null, last_task, status: "idle" });
    this.start();
  }
}
