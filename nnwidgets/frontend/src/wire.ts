// The whole contract of the compression lab with Python (nnwidgets/widgets/compression_lab.py): traits, records, commands.
import type { AnyCommand } from "./commands";
import type { Common } from "./contract";

export type Role = "accent" | "alt" | "good" | "warn" | "bad" | "muted" | "line" | "ink";
export type Status = "idle" | "running" | "error";
export type Value = string | number | boolean;

// ---- charts: data in data units, no pixels; matplotlib draws the same records

export interface Tick {
  at: number;
  text: string;
}

export interface Axis {
  label: string;
  unit: string;
  scale: "linear" | "log";
  domain: [number, number];
  ticks: Tick[];
  grid?: boolean;
  hidden?: boolean;
}

export interface Bars {
  type: "bars";
  x0: number[];
  x1: number[];
  y0: number[];
  y1: number[];
  role?: Role;
  roles?: Role[];
  opacity?: number | number[];
  ids?: string[]; // clickable: the id is written to selected_layer
  titles?: string[];
  label?: string;
}

export interface Line {
  type: "line";
  x: number[];
  y: number[];
  role?: Role;
  dash?: boolean | number[] | string;
  width?: number;
  opacity?: number;
  label?: string;
}

export type Shape = "circle" | "square" | "diamond" | "triangle";

export interface Points {
  type: "points";
  x: number[];
  y: number[];
  shape?: Shape;
  filled?: boolean;
  role?: Role;
  size?: number; // radius, in CSS pixels at the normal text size
  opacity?: number | number[];
  titles?: string[];
  label?: string;
}

export interface Interval {
  type: "interval";
  orient: "v" | "h";
  at: number[];
  low: number[];
  high: number[];
  role?: Role;
  width?: number;
  opacity?: number;
  label?: string;
}

export interface Rule {
  type: "rule";
  orient: "h" | "v";
  at: number;
  role?: Role;
  dash?: boolean | number[] | string;
  text?: string;
  text_anchor?: Anchor;
  label?: string;
}

export type Anchor = "start" | "end" | "middle";

export interface Text {
  type: "text";
  x: number;
  y: number;
  text: string;
  role?: Role;
  anchor?: Anchor;
  bold?: boolean;
  dx?: number; // in em
  dy?: number; // in em, down
  label?: string;
}

export interface Ticks {
  type: "ticks";
  at: number[];
  role?: Role;
  label?: string;
}

export type Series = Bars | Line | Points | Interval | Rule | Text | Ticks;

export interface Chart {
  kind: string;
  title: string;
  description: string;
  width: number;
  height: number;
  x: Axis;
  y: Axis;
  series: Series[];
}

// ---- figures

export interface Note {
  text: string;
  role?: Role;
  name?: string; // then it carries data-nnw-value and data-nnw-raw
  raw?: number | null;
}

export interface Action {
  label: string;
  command: AnyCommand;
}

export interface Figure {
  raw: number | null;
  value: string;
  unit: string;
  notes: Note[];
  role?: Role;
  bar?: Chart;
  action?: Action;
}

/** A partial update: what is absent keeps its last state. `snapshot_view` has the same form and is complete. */
export interface View {
  seq: number;
  generation: number;
  figures: Record<string, Figure>;
  charts: Record<string, Chart>;
}

// ---- controls

export interface Help {
  what: string;
  formula?: string;
  source?: string;
}

export interface Choice {
  value: Value;
  label: string;
  help?: Help;
  disabled?: string; // the reason
}

export interface Options {
  structure?: Choice[];
  criterion?: Choice[];
  allocation?: Choice[];
  weight_bits?: (Choice | number)[];
  activation_bits?: (Choice | number)[];
  activation_symmetric?: Choice[];
  activation_observer?: Choice[];
  rounding_of?: Choice[];
  granularity?: Choice[];
  symmetric?: Choice[];
  observer?: Choice[];
  power_of_two?: Choice[];
  equalize?: Choice[];
  bias_correction?: Choice[];
  rounding?: Choice[];
  method?: Choice[];
  sample?: Choice[];
  norm?: Choice[];
  schedule?: Choice[];
  regrowth?: Choice[];
  merit?: Choice[];
}

export interface About {
  title: string;
  subtitle: string;
  n_test?: number;
  n_val?: number;
  batch_norm?: boolean;
  output_layer?: string;
  version?: string;
}

export interface Layer {
  name: string;
  label: string;
  kind: string;
  shape: string;
  prunable_as: string[];
  params: string;
  coupled?: Coupled[]; // what goes with its units
  refused?: string; // why it has no units that can go
}

/** "read by", which layers, and for each of them why. */
export interface Coupled {
  what: string;
  names: string[];
  why: string[];
}

export interface LayerRow {
  name: string;
  amount: number;
  bits: number;
  kept: string;
  bytes: string;
  macs: string;
}

export interface History {
  can_undo: boolean;
  can_redo: boolean;
  can_reset: boolean;
  position: number;
  length: number;
  snapshots: { name: string; text: string }[];
}

export interface Task {
  id: string | number;
  name: string;
  label: string;
  progress: number;
  text: string;
  chart?: Chart;
}

/** A criterion looks at images before the recipe can be applied. */
export interface Scoring {
  text: string;
  progress: number;
  can_cancel: boolean;
}

/** What the schedule stands for. */
export interface SchedulePlan {
  text: string; // rounds, epochs, shares
  refused: string; // why it cannot be run, "" where it can
  can_step: boolean;
  begins: string; // what it begins with
}

/** Kinds of files, and why something cannot be exported. */
export interface ExportView {
  formats: Choice[];
  endings: Record<string, string>;
  small_off: string; // why there are no really smaller tensors
  refused: { text: string; replace: boolean } | null;
}

/** What a comparison of bits has shown, and what a run would take. */
export interface BitsView {
  refused: string;
  plan: string;
  words: string[]; // a heading first
  drawn: boolean;
}

/** What rounding does to the chosen layer. */
export interface RoundingView {
  layer: string;
  rows: { value: string; label: string; step: string; sqnr: string; clipped: string; used: string; now: boolean }[];
  steps: string[]; // one weight, line by line
  notes: string[];
}

/** What the lottery of winning tickets has shown, and what a run would take. */
export interface LotteryView {
  sources: Choice[];
  measures: Choice[];
  refused: string; // why this network can have none
  plan: string;
  words: string[]; // what it shows, a heading first
  recorded: string; // when and where, "" for one that was run here
  drawn: boolean;
}

/** What was written last. */
export interface Exported {
  path: string;
  folder: string;
  size: string;
  load: string; // lines of code
  notes: string[];
  of: string; // the state, in words
  earlier: boolean; // another state is shown by now
}

export interface FileAbout {
  earlier: boolean;
  csr_off: string; // why nothing can be timed
  csr: string[];
}

export interface LastTask {
  name?: string; // of one that is shown in a card of its own
  text: string;
  role?: Role;
}

export interface Failure {
  title: string;
  message: string;
  next: string;
  traceback: string;
  retry: boolean;
}

export interface Notice {
  id: string;
  text: string;
  role?: Role;
}

export type Allocation = string | Record<string, number>;

/** Traits that the front end may write; Python validates, clamps and answers corrections. */
export interface Written {
  sparsity: number;
  structure: string;
  criterion: string;
  allocation: Allocation;
  norm: number;
  weight_bits: number | Record<string, number>;
  activation_bits: number;
  activation_symmetric: boolean;
  activation_observer: string;
  calibration_images: number;
  granularity: string;
  symmetric: boolean;
  observer: string;
  percentile: number;
  range_share: number;
  power_of_two: boolean;
  equalize: boolean;
  bias_correction: boolean;
  rounding: string;
  method: string;
  sample: string;
  selected_layer: string;
  epochs: number;
  learning_rate: number;
  schedule: string;
  rounds: number;
  regrowth: string;
  merit: string;
  budget: number;
  export_format: string;
  export_materialized: boolean;
  export_name: string;
  lottery_source: string;
  lottery_measure: string;
  lottery_rounds: number;
  lottery_seeds: number;
  lottery_epochs: number;
  lottery_rewind: number;
  rounding_open: boolean;
  rounding_of: string;
  followed: number;
  bits_seeds: number;
  bits_epochs: number;
  gesture: number;
}

/** Traits that the front end only reads. */
export interface Read extends Common {
  view: View | null;
  snapshot_view: View | null;
  about: About;
  options: Options;
  layers: Layer[];
  layer_rows: LayerRow[];
  history: History;
  scoring: Scoring | null;
  schedule_plan: SchedulePlan;
  exported: Exported | null;
  export_view: ExportView;
  file_about: FileAbout;
  lottery_view: LotteryView;
  rounding_view: RoundingView;
  bits_view: BitsView;
  arithmetic_view: BitsView;
  remedies_view: BitsView;
}

export type Traits = Written & Read;

export const READ: readonly (keyof Read)[] = [
  "seq", "status", "view", "snapshot_view", "about", "options", "help", "layers", "layer_rows", "history", "scoring", "task",
  "last_task", "error", "notices", "code", "schedule_plan",
  "exported", "export_view", "file_about", "lottery_view", "rounding_view", "bits_view", "arithmetic_view", "remedies_view",
];

export const WRITTEN: readonly (keyof Written)[] = [
  "sparsity", "structure", "criterion", "allocation", "norm", "weight_bits", "activation_bits", "granularity",
  "symmetric", "observer", "percentile", "range_share", "power_of_two", "equalize", "bias_correction", "rounding", "method", "activation_symmetric", "activation_observer", "calibration_images", "sample", "selected_layer", "epochs", "learning_rate", "schedule", "rounds", "regrowth", "merit", "budget",
  "export_format", "export_materialized", "export_name",
  "lottery_source", "lottery_measure", "lottery_rounds", "lottery_seeds", "lottery_epochs", "lottery_rewind", "rounding_open", "rounding_of", "followed", "bits_seeds", "bits_epochs",
];

export type CommandName =
  | "undo" | "redo" | "reset" | "snapshot_save" | "snapshot_load" | "snapshot_delete" | "fine_tune" | "recalibrate" | "start_untrained" | "spread_bits" | "prune_run" | "prune_step" | "cancel"
  | "measure_latency" | "measure_disk" | "scan_layers" | "search" | "lottery_run" | "bits_run" | "arithmetic_run" | "remedies_run" | "export" | "measure_encodings" | "measure_crossover" | "cancel_scoring" | "retry" | "dismiss" | "figure" | "resync";
