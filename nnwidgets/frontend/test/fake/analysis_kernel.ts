// The Python side of the error analysis, played.
import type { AnalysisSheet } from "../../src/analysis/contract";
import type { AnalysisCommand, AnalysisRead, AnalysisWritten, Attempted, BadgeWord, Practice } from "../../src/analysis_wire";
import type { Command } from "../../src/contract";
import type { Choice } from "../../src/wire";
import { panelOf } from "./analysis_panels";
import { detailOf, flowOf, LEAVES, lineOf, percent, type Errors } from "./analysis_records";
import { FakeModel, type Writes } from "./model";

const choices = (...pairs: [Choice["value"], string][]): Choice[] => pairs.map(([value, label]) => ({ value, label }));
const GIVEN: Errors = { train: 0.048, val: 0.073, test: 0.071 };
const HELP = Object.fromEntries(["goal", "budget", "seeds", "sample", "order", "pair", "threshold", "track", "panel", "confusion", "worst", "suspects"]
  .map((name) => [name, { what: `What ${name} means, in two short sentences. It is one click away and closes with Esc.`, source: "Lecture 1" }]));
const START: Attempted = { id: 0, title: "As given", change: "lenet5, 3,000 digits", before: "", after: "E_val 7.3 %", train: "4.8 %", test: "7.1 %",
  verdict: "start", verdict_text: "", cost: "", current: true, note: "" };
const OFF: Practice = { state: "off", seed: 0, text: "", options: [], guess: "", truth: "", score: "", used: 0 };

export class FakeAnalysis {
  readonly model: FakeModel<AnalysisSheet>;
  private seq = 0;
  private badges: Record<string, BadgeWord> = {};
  private busy = "";
  private track: Attempted[] = [START];
  private readonly marks = new Map<string, string>();
  private practice: Practice = OFF;
  private timers: ReturnType<typeof setTimeout>[] = [];

  constructor(private readonly pace = 30) {
    this.model = new FakeModel<AnalysisSheet>({
      seq: 0, status: "running", task: null, last_task: null, error: null, notices: [], help: HELP, hidden: false, recorded: "",
      about: { title: "Error analysis", subtitle: "lenet5 on 3,000 digits", all_cost: "38 s", looks: 1, can_train: "" }, line: lineOf(GIVEN, 0.05),
        flow: { nodes: [], edges: [], sentence: "" },
      detail: null, track: [], board: null, practice: OFF, pairs: choices(["", "all"], ["4,9", "4, says 9 (21)"], ["9,4", "9, says 4 (13)"], ["3,5",
        "3, says 5 (11)"]),
      code: "import nnwidgets as nw\n\nexp = nw.load_example(\"digits\")\nnw.ErrorAnalysis(exp, goal=0.05)\n",
      options: {
        budget: choices([10, "10 s"], [60, "1 min"], [300, "5 min"]), seeds: choices([2, "2"], [3, "3"], [5, "5"]), sample: choices(["val",
          "validation"], ["test", "test"], ["train", "training"]),
        order: choices(["sure", "surest first"], ["loss", "largest loss"]), panel: choices(["confusion", "Confusion"], ["worst", "Worst errors"],
          ["suspects", "Suspect labels"], ["curve", "Size of S_train"], ["calibration", "Calibration"]),
      },
      goal: 0.05, selected: "labels", panel: "", budget: 60, seeds: 3, sample: "test", order: "sure", pair: "", threshold: 0.7,
    });
    this.model.onSave = (writes) => this.after(() => this.onSave(writes));
    this.model.onCommand = (command) => this.after(() => this.onCommand(command));
  }

  get<K extends keyof (AnalysisRead & AnalysisWritten)>(name: K): (AnalysisRead & AnalysisWritten)[K] {
    return this.model.get(name) as (AnalysisRead & AnalysisWritten)[K];
  }

  start(): void {
    this.everything();
  }

  /** As after "test all" within a budget that one leaf does not fit. */
  tested(): void {
    for (const [id, { badge }] of Object.entries(LEAVES)) if (badge !== "not tested") this.badges[id] = badge;
    this.everything();
  }

  private get errors(): Errors {
    const shown = this.track.find((each) => each.current);
    return shown && shown.id > 0 ? { train: 0.012, val: 0.042, test: 0.044 } : GIVEN;
  }

  private publish(update: Writes<AnalysisSheet>): void {
    this.seq += 1;
    this.model.receive({ seq: this.seq, ...update });
  }

  private everything(more: Writes<AnalysisSheet> = {}): void {
    const [goal, selected, panel, hidden] = [this.get("goal"), this.get("selected"), this.get("panel"), this.get("hidden")];
    const known = { badges: this.badges, busy: this.busy, hidden };
    const attempt = this.track.filter((each) => each.id > 0).at(-1) ?? null;
    const chosen = { pair: this.get("pair"), sample: this.get("sample"), threshold: this.get("threshold"), marks: this.marks };
    this.publish({
      status: "idle", line: lineOf(this.errors, goal), flow: flowOf(this.errors, goal, known), detail: detailOf(selected, known,
        selected === "labels" ? attempt : null),
      track: this.track, board: panel ? panelOf(panel, chosen) : null, practice: this.practice, ...more,
    });
  }

  private onSave(_: Writes<AnalysisSheet>): void {
    this.everything();
  }

  private onCommand({ name, args, id }: Command<AnalysisCommand>): void {
    const text = (key: string): string => String(args[key] ?? "");
    const does: Record<string, () => void> = {
      run_all: () => this.runAll(Object.keys(LEAVES).filter((leaf) => !this.badges[leaf])),
      run_test: () => this.runAll([text("test")]),
      run_leaf: () => this.runAll([text("leaf")]),
      apply: () => this.apply(text("remedy")),
      adopt: () => this.adopt(Number(args["id"])),
      label: () => this.mark(text("id"), text("verdict")),
      tag: () => this.mark(text("id"), text("tag")),
      practice: () => this.practise(Number(args["seed"])),
      guess: () => this.guess(text("cause")),
      end_practice: () => { this.practice = OFF; this.everything(); },
      hall: () => { this.model.receive({ hidden: Boolean(args["on"]) }); this.everything(); },
      reveal: () => { this.model.receive({ hidden: false }); this.everything(); },
      save: () => this.file(`${text("what")}.json`, id),
      figure: () => this.file(`analysis.${text("format")}`, id),
      cancel: () => this.stop(),
      dismiss: () => this.model.receive({ error: null, notices: [], status: "idle" }),
    };
    (does[name] ?? (() => this.everything()))();
  }

  private runAll(leaves: string[], at = 0): void {
    const leaf = leaves[at];
    this.busy = leaf ?? "";
    if (!leaf) return this.everything({ task: null, last_task: { text: `${leaves.length} tested: wrong labels are the strongest cause`, role: "good" } });
    if (this.practice.state === "guessing") this.practice = { ...this.practice, used: this.practice.used + 1 };
    this.everything({ status: "running", task: { id: 1, name: "tests", label: "Testing:", progress: at / leaves.length,
      text: `${LEAVES[leaf]?.title ?? leaf}, ${3 * (leaves.length - at)} s left` } });
    this.after(() => {
      const badge = LEAVES[leaf]?.badge ?? "none";
      this.badges[leaf] = badge === "not tested" ? "weak" : badge;
      this.runAll(leaves, at + 1);
    }, this.pace * 8);
  }

  private apply(remedy: string, step = 0): void {
    if (step < 12) {
      this.model.receive({ status: "running", task: { id: 2, name: "retrain", label: "Retraining:", progress: step / 12,
        text: `pair ${1 + Math.floor(step / 4)} of 3, ${36 - 3 * step} s left` } });
      this.after(() => this.apply(remedy, step + 1), this.pace * 4);
      return;
    }
    const worked = remedy === "drop" || remedy === "relabel";
    const title = Object.values(LEAVES).flatMap((leaf) => leaf.remedies).find(([name]) => name === remedy)?.[1] ?? remedy;
    this.track = [...this.track.map((each) => ({ ...each, current: false })), {
      id: this.track.length, title, change: worked ? "n_train 3,000 -> 2,728" : "width 1 -> 2", before: "E_val 7.3 %",
        after: worked ? "E_val 4.2 %" : "E_val 7.2 %", train: worked ? "1.2 %" : "4.6 %", test: worked ? percent(0.044) : "7.0 %",
      verdict: worked ? "confirmed" : "not established",
        verdict_text: worked ? "E_val −3.1 points (−3.8 to −2.4), 3 paired seeds" : "E_val −0.1 points (−0.9 to 0.7), 3 paired seeds",
        cost: "41 s, 18,000 samples, 2.1 TFLOP", current: true, note: "",
    }];
    this.everything({ task: null, last_task: { text: `${title}: ${worked ? "confirmed" : "not established"}`, role: worked ? "good" : "warn" } });
  }

  private adopt(id: number): void {
    this.track = this.track.map((each) => ({ ...each, current: each.id === id }));
    this.everything();
  }

  private mark(id: string, word: string): void {
    if (word) this.marks.set(id, word);
    else this.marks.delete(id);
    this.everything();
  }

  private practise(seed: number): void {
    this.badges = {};
    const options = Object.entries(LEAVES).map(([value, { title }]) => ({ value, label: title }));
    this.practice = { ...OFF, state: "guessing", seed, options,
      text: "Something was planted into this experiment. Test what you suspect, then name the cause." };
    this.everything();
  }

  private guess(cause: string): void {
    const right = cause === "labels";
    this.practice = { ...this.practice, state: "revealed", guess: cause, truth: "labels", score: right ? "8 of 10" : "2 of 10",
      text: right ? "Found: 8 % of the labels were swapped." : "Not it: 8 % of the labels were swapped." };
    this.everything();
  }

  private file(name: string, id: string): void {
    this.model.answer({ kind: "file", name, mime: "text/plain", id }, [new DataView(new TextEncoder().encode("saved").buffer)]);
  }

  private stop(): void {
    for (const timer of this.timers.splice(0)) clearTimeout(timer);
    this.busy = "";
    this.everything({ task: null, last_task: { text: "stopped", role: "muted" } });
  }

  private after(what: () => void, ms = this.pace): void {
    const timer = setTimeout(() => {
      this.timers = this.timers.filter((each) => each !== timer);
      what();
    }, ms);
    this.timers.push(timer);
  }
}
