// The whole contract of the layer explorer with Python (nnwidgets/widgets/layer_explorer.py): traits, records, commands.
import type { Common } from "./contract";
import type { Chart, Choice, Figure, Role } from "./wire";

/** Pictures as numbers: `count` tiles one after the other, each (height, width[, 3]), uint8. The front end only colours them. */
export interface Raster {
  count: number;
  width: number;
  height: number;
  channels: 1 | 3;
  /** sequential: 0 = low .. 255 = high, viridis. diverging: 0 = low, 128 = zero, 255 = high. colour: RGB. grey: black to white. */
  kind: "sequential" | "diverging" | "colour" | "grey";
  low: number; // what 0 stands for
  high: number; // what 255 stands for
  clipped?: boolean; // some numbers are beyond low and high, and drawn as these
  ranges?: [number, number][]; // low and high of each tile, where every tile has its own scale
  data: DataView;
  values?: DataView; // float32, little endian, the exact numbers (one-channel rasters of one tile only): for the pointer
}

/** A box on the input image, in its pixels; the far edges are exclusive. */
export interface Box {
  y0: number;
  x0: number;
  y1: number;
  x1: number;
}

export interface Node {
  id: string; // value of the trait `layer`: the name, "name#1" for its second call
  name: string; // last part of the dotted name, or the function in brackets
  call: number; // 0 for the first call of a layer or function, 1 for the second
  path: string; // dotted name, for the tip
  kind: string;
  depth: number; // 0 for the first level
  shape: string; // "16 x 28 x 28"
  params: string; // "2,304", "" for none
  macs: string; // "1.8 M", "" for none
  share: number; // of all macs
  dead: number | null; // share of dead channels, null before it was measured
  dead_text: string; // "3 of 16 dead", "" before
  container: boolean; // folds and unfolds what is below it (deeper nodes that follow)
  views: ViewName[]; // what can be shown of it
  reason: string; // why nothing can be shown, "" where something can
}

export type ViewName = "filters" | "maps" | "attention" | "histogram" | "deconvnet" | "top9" | "training";

export interface Tile {
  id: number; // channel (value of the trait `channel`), filter, head or rank
  label: string; // "17"
  text: string; // tip: "channel 17: mean 0.31, maximum 3.4"
  off?: boolean; // switched off
}

/**
 * Backbone compares a record with the one before it, deeply and from its last key on, twice, before it tells anybody. A number that
 * differs each time, as the last key of the record, ends that at once; without it, equal rasters are compared byte by byte.
 */
export interface Serial {
  serial?: number;
}

/** The middle. A raster may be missing while it is being made (`busy`), or where `empty` says why there is none. */
export interface Panel extends Serial {
  view: ViewName;
  layer: string; // id it belongs to: what does not belong to the trait `layer` is drawn faded
  title: string; // "64 maps of features.relu1"
  caption: string; // what is shown: scale, order, before or after the activation, which call
  notes: { text: string; role?: Role }[];
  tiles: Tile[];
  raster: Raster | null; // of the tiles, in their order
  other: Raster | null; // maps only, while comparing: the same tiles of the compressed network, on the same scale
  difference: Raster | null; // compressed minus dense, diverging
  /** deconvnet: one column a rule, side by side. top9: for each of the nine (in the order of `tiles`) image with box, patch, projection. */
  columns: { title: string; caption: string; raster: Raster; boxes?: (Box | null)[] }[];
  charts: Record<string, Chart>; // data-nnw-chart = key
  figures: Record<string, Figure>;
  ask: { text: string; label: string } | null; // large: the command "show" shows it
  channels?: number; // of the layer, where the tiles are not all of them (histogram, deconvnet, top9): the largest `channel` is one less
  input_channels?: number; // filters: how many there are to choose from with `input_channel`; absent where they are shown in colour or there is one
  empty: string;
  busy: string; // what is being done, "" at rest
}

/** The right: one channel. */
export interface Unit extends Serial {
  layer: string;
  channel: number;
  title: string; // "Channel 17 of relu1"
  map: Raster | null; // one tile, with `values`
  position: { y: number; x: number } | null; // the cell that `field` and Deconvnet speak of
  field: Box | null; // receptive field of that cell on the input
  field_text: string; // "it sees 14 x 14 pixels, cut off at the border: rows 3 to 16, columns 0 to 11"
  filter: Raster | null; // its weights: one tile, or one an input channel
  filter_text: string;
  figures: Record<string, Figure>; // maximum, mean, alive ...
  charts: Record<string, Chart>; // class profile
  off: boolean;
  notes: { text: string; role?: Role }[];
}

export interface Input extends Serial {
  raster: Raster; // one tile, colour or grey
  title: string; // "image 214: ring"
  caption: string; // "of S_test; answered disc" / "yours, resized from 640 x 480"
  index: number; // -1 where it is drawn or uploaded
  count: number; // images in the sample
  drawable: boolean; // a canvas of the input's size makes sense
  role?: Role; // bad where the answer is wrong
}

/** Answers of the network to the image: dense, and with channels switched off or compressed where there is such a one. */
export interface Answers {
  rows: { name: string; dense: number; other: number | null; truth: boolean; mark: string; text: string }[]; // probabilities, largest first, at most 5; mark: "truth", or whose answer the label is
  other_title: string; // "switched off" | "compressed" | ""
  verdict: string; // "ring, right" / "ring -> disc"; no right or wrong where the labels are not the truth
  role?: Role;
}

export interface Switched {
  items: { layer: string; channel: number; label: string }[]; // command switch_on takes one back
  figures: Record<string, Figure>; // accuracy with interval, against the network as it is
  text: string;
}

/** Traits that the front end may write. */
export interface Written {
  layer: string;
  channel: number;
  view: ViewName;
  image_index: number;
  sample: string;
  pick: string; // "index" | "class" | "worst": which images image_index counts through
  picked_class: number;
  order: string; // index | mean | variance | maximum | selectivity
  scale: string; // "layer" (one scale) | "tile" (each its own)
  input_channel: number; // filters with more than three input channels: which one; -1 = mean over all
  position: string; // "" = the strongest, else "y,x"
  compare: boolean;
  epochs: number; // of the training view
  learning_rate: number;
  fresh: boolean; // training view: from new weights instead of the present ones
}

/**
 * Traits that the front end only reads (and those of every widget: seq, status, help, task, last_task, error, notices, code).
 * Names of tasks: statistics, top9, accuracy, training. Keys of `help`: traits, views, figures, "answers", "switched".
 */
export interface Read extends Common {
  tree: Node[];
  panel: Panel | null;
  unit: Unit | null;
  input: Input | null;
  answers: Answers | null;
  switched: Switched;
  about: { title: string; subtitle: string; classes: string[]; max_upload: number };
  options: Record<string, Choice[]>; // view, order, scale, sample, pick
}

export type Traits = Written & Read;

/**
 * Commands: show (capture a large layer all the same), measure (statistics of all layers over the sample, in the background), find_top
 * (the nine strongest images of the channel), switch_off {layer, channel}, switch_on {layer, channel}, switch_on_all, upload {name, size}
 * with one binary buffer (the file), draw {width, height} with one binary buffer (uint8 grey, row by row), own_image_off (back to the
 * sample), train_start, train_pause, train_step, train_reset, cancel, retry, dismiss, figure {format: svg|png|pdf}, resync.
 */
export type CommandName =
  | "show" | "measure" | "find_top" | "switch_off" | "switch_on" | "switch_on_all" | "upload" | "draw" | "own_image_off"
  | "train_start" | "train_pause" | "train_step" | "train_reset" | "cancel" | "retry" | "dismiss" | "figure" | "resync";

export const READ: readonly (keyof Read)[] = [
  "seq", "status", "tree", "panel", "unit", "input", "answers", "switched", "about", "options", "help", "task", "last_task", "error", "notices", "code",
];

export const WRITTEN: readonly (keyof Written)[] = [
  "layer", "channel", "view", "image_index", "sample", "pick", "picked_class", "order", "scale", "input_channel", "position", "compare", "epochs",
  "learning_rate", "fresh",
];
