// The whole contract of the error analysis with Python (nnwidgets/widgets/error_analysis.py): traits, records, commands.
import type { Common } from "./contract";
import type { Raster } from "./explorer_wire";
import type { Chart, Choice, Role } from "./wire";

// ---- the number line

export interface Mark {
  name: "train" | "val" | "test";
  label: string; // "E_train"
  value: number; // a share
  low: number;
  high: number;
  text: string; // "4.8 %"
  tip: string; // "144 of 3,000 wrong; on new images like these 4.1 to 5.6 %"
  role: Role;
}

export interface Line {
  domain: [number, number]; // from 0; holds still while the goal is dragged
  ticks: { at: number; text: string }[];
  marks: Mark[]; // empty before they are measured
  goal_text: string; // "goal 3.0 %"
}

// ---- the flowchart

export type BadgeWord = "strong" | "weak" | "none" | "not tested" | "does not apply" | "failed" | "hidden";

export interface FlowNode {
  id: string; // value of the trait `selected`, data-nnw-node
  kind: "start" | "exit" | "branch" | "group" | "leaf";
  title: string;
  text: string; // second line: what was found in a few words, or why not
  column: "top" | "train" | "test" | "data" | "both"; // where it is drawn; "data": inside the group; "both": below both branches
  state: "lit" | "undecided" | "off"; // of the way that leads to it
  badge: BadgeWord | ""; // "" where there is nothing to test
  cost: string; // "2 s" while not tested
  place: number; // 1 to 3 among the causes found, 0 for none
  extension: boolean; // added to the lecture: dashed
  busy: boolean; // being tested now
}

export interface FlowEdge {
  from: string;
  to: string;
  state: "lit" | "undecided" | "off";
  extension: boolean;
}

export interface Flow {
  nodes: FlowNode[];
  edges: FlowEdge[];
  sentence: string; // where the way leads, in words: "E_test 7.1 % is above the goal of 5 %; E_train cannot be told yet"
}

// ---- the chosen leaf

export interface Found {
  test: string;
  title: string;
  badge: BadgeWord;
  text: string; // what was found, or why not tested; may be ""
  numbers: { name: string; text: string }[];
  method: string;
  source: string;
  cost: string; // "2 s" to run it, "ran 1.4 s" afterwards
  can_run: boolean;
}

export interface RemedyChoice {
  name: string; // argument of the command `apply`
  title: string; // "Twice as wide"
  text: string; // what is changed, in one sentence
  cost: string; // "about 40 s: 3 paired seeds, each trained twice"
  reason: string; // why it cannot be applied here, "" where it can
}

export interface Detail {
  leaf: string;
  title: string;
  family: string; // one of the five of the lecture, "" for nodes that are no cause
  lead: string; // the finding in a few words, large: "about 8 % of the labels look wrong"; "" while nothing is known
  role: Role; // of the lead
  confidence: string; // "confidence 62 %", ""
  confidence_raw: number | null;
  text: string; // what the node means
  action: string; // what is advised
  chart: Chart | null; // a picture of the evidence
  tests: Found[];
  remedies: RemedyChoice[];
  attempt: Attempted | null; // the last attempt of this leaf
}

// ---- the track of attempts

export interface Attempted {
  id: number; // argument of the command `adopt`; 0 is the experiment as it was given
  title: string; // "Twice as wide"
  change: string; // "width 1 -> 2"
  before: string; // "E_val 7.1 %"
  after: string; // "E_val 4.2 %"
  train: string; // E_train of the network that came out, "1.2 %"
  test: string; // E_test, "4.4 %"
  verdict: "confirmed" | "refuted" | "not established" | "start" | "measured";
  verdict_text: string; // "E_val -2.9 points (-3.6 to -2.2), 3 paired seeds"
  cost: string; // "41 s, 18,000 samples, 2.1 TFLOP"
  current: boolean; // what the flowchart shows
  note: string; // "recorded on ..., 2 cores" for replayed ones, ""
}

// ---- panels below

export interface Cell {
  text: string;
  raw?: number | null;
  role?: Role;
}

export interface TileItem {
  id: string; // argument of the commands `label`, `tag`, `open`
  label: string; // "4, says 9"
  text: string; // tip and accessible name
  mark: string; // short word on the tile: "drop", "relabel", a tag, ""
  role: Role;
}

export interface Panel {
  name: string; // value of the trait `panel`
  title: string;
  text: string; // a sentence: what is seen, on what sample
  empty: string; // why there is nothing yet and what to do, "" where there is something
  charts: Record<string, Chart>; // by the name of data-nnw-chart
  columns: string[]; // of the table
  rows: Cell[][];
  matrix: Matrix | null;
  tiles: Raster | null;
  items: TileItem[]; // one a tile
  notes: { text: string; role?: Role; name?: string; raw?: number | null }[];
  can_run: string; // a command's label where a button makes it ("Measure, 12 s"), "" else
  controls?: ("sample" | "order" | "pair" | "threshold")[]; // shown above it; absent: by its name
}

export interface Matrix {
  labels: string[]; // classes; the front end draws counts[i][j]: label i, answered j
  counts: number[][];
}

export interface Practice {
  state: "off" | "guessing" | "revealed";
  seed: number;
  text: string; // what to do, or how it ended
  options: Choice[]; // causes to choose from
  guess: string;
  truth: string; // "" until revealed
  score: string; // "8 of 10", ""
  used: number; // tests used
}

export interface AnalysisRead extends Common {
  about: { title: string; subtitle: string; all_cost: string; looks: number; can_train: string };
  options: Record<"budget" | "seeds" | "sample" | "order" | "panel", Choice[]>;
  line: Line;
  flow: Flow;
  detail: Detail | null;
  track: Attempted[];
  board: Panel | null;
  practice: Practice;
  hidden: boolean; // hall mode: badges wait for the vote
  recorded: string; // "recorded on 2026-11-20, ..." while a recording is replayed, "" else
  pairs: Choice[]; // filter of worst errors: "" for all, "4,9"
}

export interface AnalysisWritten {
  goal: number;
  selected: string;
  panel: string; // "" closes it
  budget: number; // seconds of "test all"
  seeds: number; // pairs of an attempt
  sample: string; // val, test or train: what the panels show
  order: string; // of worst errors
  pair: string;
  threshold: number; // of suspects: 0 to 1
}

export const ANALYSIS_READ = [
  "seq", "status", "options", "help", "task", "last_task", "error", "notices", "code",
  "about", "line", "flow", "detail", "track", "board", "practice", "hidden", "recorded", "pairs",
] as const satisfies readonly (keyof AnalysisRead)[];

export const ANALYSIS_WRITTEN = [
  "goal", "selected", "panel", "budget", "seeds", "sample", "order", "pair", "threshold",
] as const satisfies readonly (keyof AnalysisWritten)[];

export type AnalysisCommand =
  | "run_all" // {}
  | "run_test" // { test }
  | "run_leaf" // { leaf }
  | "apply" // { remedy }
  | "apply_advised" // {}: what is advised for the likeliest causes, one after the other
  | "adopt" // { id }: show that attempt; 0 goes back to the start
  | "measure" // {}: what the open panel needs
  | "label" // { id, verdict: "keep" | "drop" | "relabel" | "" }
  | "tag" // { id, tag }
  | "open" // { id }: in a linked layer explorer
  | "practice" // { seed }: the same plants the same fault
  | "guess" // { cause }
  | "end_practice" // {}
  | "hall" // { on: boolean }
  | "reveal" // {}
  | "save" // { what: "track" | "practice" }
  | "figure" // { format }
  | "cancel" | "retry" | "dismiss" | "resync";
