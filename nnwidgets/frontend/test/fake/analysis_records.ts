// Invented records of an error analysis: lenet5 on 3,000 digits with wrong labels, as one could have measured it.
import type { BadgeWord, Detail, Flow, FlowEdge, FlowNode, Found, Line, Mark, RemedyChoice } from "../../src/analysis_wire";
import type { Chart, Role } from "../../src/wire";

export interface Errors {
  train: number;
  val: number;
  test: number;
}

interface Leaf {
  title: string;
  column: FlowNode["column"];
  family: string;
  badge: BadgeWord;
  text: string;
  cost: string;
  method: string;
  source: string;
  remedies: [name: string, title: string, text: string][];
  extension?: boolean;
}

const leaf = (title: string, column: Leaf["column"], family: string, badge: BadgeWord, text: string, cost: string, method: string, source: string,
  remedies: Leaf["remedies"] = [], extension = false): Leaf =>
  ({ title, column, family, badge, text, cost, method, source, remedies, extension });

export const LEAVES: Record<string, Leaf> = {
  enlarge_network: leaf("Enlarge the network", "train", "architecture", "none", "width 2: no gain", "12 s",
    "The same network twice as wide, three paired seeds.", "Lecture 1", [["wider", "Twice as wide", "Every layer gets twice the channels."]]),
  training_hyperparameters: leaf("Tune the hyper-parameters of training", "train", "hyper-parameters", "none", "rate near its optimum", "4 s",
    "The loss after 60 steps at nine learning rates.", "Smith 2017, Cyclical Learning Rates", [["rate", "Rate ten times smaller",
    "The learning rate goes from 0.05 to 0.005."]]),
  low_signal: leaf("Low signal-to-noise", "data", "data", "none", "19 dB", "1 s", "Energy of the image against that of its high frequencies.",
    "Immerkær 1996"),
  preprocessing: leaf("Errors in preprocessing", "data", "data", "none", "as declared", "1 s",
    "Mean and spread of S_train and S_test against what was declared.", "Lecture 1"),
  labels: leaf("Unreliable reference values", "data", "data", "strong", "8 % look wrong", "9 s", "Confident learning on out-of-fold probabilities.",
    "Northcutt et al. 2021, Confident Learning", [["drop", "Drop the suspects",
    "272 images are taken out of S_train; compared with dropping as many at random."], ["relabel", "Relabel the suspects",
    "272 images take the answer of the held-out network."]]),
  imbalance: leaf("Unbalanced sample", "data", "data", "none", "862 to 1,127", "1 s", "Images a class, and the error on the rarest.", "Lecture 1"),
  more_data: leaf("Enlarge S_train", "test", "overfitting", "weak", "goal at n = 9,400 (extrapolated)", "14 s",
    "A power law through the errors at a quarter, half and all of S_train.", "Hestness et al. 2017", [["more", "Twice the images",
    "3,000 further images of the same kind."]]),
  shrink_network: leaf("Shrink the network", "test", "overfitting", "none", "width 1/2: worse", "8 s",
    "The same network half as wide, three paired seeds.", "Lecture 1", [["narrower", "Half as wide", "Every layer gets half the channels."]]),
  regularization: leaf("Tune the network's hyper-parameters", "test", "overfitting", "none", "gain inside the noise", "10 s",
    "Weight decay at four strengths.", "Lecture 1", [["decay", "Weight decay 5e-4", "From none to 5e-4."]]),
  mismatch: leaf("S_train and S_test do not match", "test", "data", "none", "p .41", "3 s", "A classifier that tells S_train from S_test.",
    "Lopez-Paz & Oquab 2017"),
  leakage: leaf("Images of S_test in S_train", "test", "data", "none", "no copies", "2 s", "Nearest neighbours across the samples.",
    "Barz & Denzler 2020", [], true),
  training_algorithm: leaf("Improve the training algorithm", "both", "hyper-parameters", "not tested", "", "12 s",
    "Norms of the gradient from layer to layer.", "He et al. 2015", [["adam", "Adam", "Adam at 1e-3 in place of SGD."]]),
  implementation: leaf("Errors in the implementation", "both", "implementation", "none", "tiny subset fits, gradients flow", "5 s",
    "Sixteen images are learnt by heart; every weight gets a gradient.", "Karpathy 2019, A Recipe for Training Neural Networks", [], true),
};

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const markOf = (name: Mark["name"], value: number, n: number, role: Role): Mark => {
  const half = 1.96 * Math.sqrt((value * (1 - value)) / n);
  const [low, high] = [Math.max(0, value - half), value + half];
  const tip = `${Math.round(value * n)} of ${n.toLocaleString("en")} wrong; on new images like these ${(100 * low).toFixed(1)} to ${percent(high)}`;
  return { name, label: `E_${name}`, value, low, high, text: percent(value), tip, role };
};

export function lineOf({ train, val, test }: Errors, goal: number): Line {
  return {
    domain: [0, 0.1], ticks: [0, 0.02, 0.04, 0.06, 0.08, 0.1].map((at) => ({ at, text: `${Math.round(100 * at)} %` })),
    marks: [markOf("train", train, 3000, "accent"), markOf("val", val, 1000, "muted"), markOf("test", test, 2000, "alt")],
      goal_text: `goal ${percent(goal)}`,
  };
}

type State = FlowNode["state"];

/** Which ways are alive: lit, undecided inside the noise, off. */
function statesOf(errors: Errors, goal: number): { met: State; train: State; test: State } {
  const [train, , test] = lineOf(errors, goal).marks as [Mark, Mark, Mark];
  if (test.value <= goal) return { met: test.high <= goal ? "lit" : "undecided", train: "off", test: "off" };
  if (train.low > goal) return { met: "off", train: "lit", test: "off" };
  if (train.high <= goal) return { met: "off", train: "off", test: "lit" };
  return { met: "off", train: "undecided", test: "undecided" };
}

export interface Known {
  badges: Record<string, BadgeWord>; // of the leaves, as far as they are tested
  busy: string;
  hidden: boolean;
}

const box = (id: string, kind: FlowNode["kind"], title: string, text: string, column: FlowNode["column"], state: State, extension = false): FlowNode =>
  ({ id, kind, title, text, column, state, badge: "", cost: "", place: 0, extension, busy: false });

function leafNode(id: string, state: State, { badges, busy, hidden }: Known): FlowNode {
  const { title, text, column, cost, extension = false } = LEAVES[id]!;
  const badge = badges[id] ?? "not tested";
  const tested = badge !== "not tested";
  const place = tested && !hidden ? ({ labels: 1, more_data: 2 }[id] ?? 0) : 0;
  return { ...box(id, "leaf", title, tested ? text : "", column, state, extension), badge: hidden && tested ? "hidden" : badge,
    cost: tested ? "" : cost, place, busy: busy === id };
}

export function flowOf(errors: Errors, goal: number, known: Known): Flow {
  const at = statesOf(errors, goal);
  const either: State = at.train === "lit" || at.test === "lit" ? "lit" : at.train;
  const stateOf = (id: string): State => ({ train: at.train, data: at.train, test: at.test, both: either, top: "off" } as const)[LEAVES[id]!.column];
  const met = at.met !== "off";
  const nodes = [
    box("start", "start", met ? "E_test at the goal" : "E_test above the goal",
      at.train === "undecided" ? "E_train: cannot be told yet" : "E_train, E_test and the goal", "top", "lit"),
    box("goal_met", "exit", "Goal met", met ? "yes" : "no", "top", at.met),
    box("train_high", "branch", "E_train > E_goal", "", "train", at.train),
    box("test_high", "branch", "E_train ≤ E_goal", "", "test", at.test),
    box("data", "group", "Quality of the source data", "", "train", at.train),
    box("data_too", "leaf", "The same data leaves", "", "test", at.test, true),
    ...Object.keys(LEAVES).map((id) => leafNode(id, stateOf(id), known)),
  ];
  return { nodes, edges: edgesOf(at, stateOf, either), sentence: sentenceOf(errors, goal, at) };
}

function edgesOf(at: ReturnType<typeof statesOf>, stateOf: (id: string) => State, either: State): FlowEdge[] {
  const edge = (from: string, to: string, state: State, extension = false): FlowEdge => ({ from, to, state, extension });
  const leaves = Object.entries(LEAVES).flatMap(([id, { column, extension = false }]) =>
    column === "both" ? [edge("train_high", id, at.train, extension), edge("test_high", id, at.test, extension)]
      : [edge(column === "data" ? "data" : column === "train" ? "train_high" : "test_high", id, stateOf(id), extension)]);
  return [
    edge("start", "goal_met", at.met), edge("start", "train_high", at.train), edge("start", "test_high", at.test), edge("train_high", "data", at.train),
    edge("data", "data_too", either === "lit" ? at.test : "off", true), ...leaves,
  ];
}

function sentenceOf({ train, test }: Errors, goal: number, at: ReturnType<typeof statesOf>): string {
  if (at.met !== "off") return `E_test ${percent(test)} is at the goal of ${percent(goal)}${at.met === "lit" ? "" : ", but not beyond the noise"}.`;
  const way = { lit: `so is E_train ${percent(train)}: bias first`, off: `E_train ${percent(train)} is not: variance`,
    undecided: "E_train cannot be told yet" }[at.train];
  return `E_test ${percent(test)} is above the goal of ${percent(goal)}; ${way}.`;
}

const axis = (label: string, unit: string, domain: [number, number], at: number[]) =>
  ({ label, unit, scale: "linear" as const, domain, ticks: at.map((v) => ({ at: v, text: String(v) })) });

function suspectsChart(): Chart {
  const x = Array.from({ length: 24 }, (_, i) => i / 24);
  const y = x.map((v) => Math.round(260 * Math.exp(-v * 5) + 46 * Math.exp(-(((v - 0.86) / 0.1) ** 2))));
  return {
    kind: "histogram", title: "Doubt about each label", description: "Most labels are trusted; a second hump at 0.86 is doubted.", width: 300, height: 130,
    x: axis("doubt", "", [0, 1], [0, 0.5, 1]), y: axis("images", "", [0, 270], [0, 100, 200]),
    series: [
      { type: "bars", x0: x, x1: x.map((v) => v + 1 / 26), y0: y.map(() => 0), y1: y, roles: x.map((v) => (v >= 0.7 ? "bad" : "accent")),
        opacity: 0.75, titles: y.map((v) => `${v} images`) },
      { type: "rule", orient: "v", at: 0.7, role: "bad", dash: true, text: "suspect" },
    ],
  };
}

export function learningChart(): Chart {
  const n = [750, 1500, 3000];
  return {
    kind: "learning", title: "Error and size of S_train", description: "E_val falls with more images; extrapolated it meets the goal at 9,400.",
      width: 420, height: 190,
    x: axis("images", "", [0, 10000], [0, 2500, 5000, 7500, 10000]), y: { ...axis("error", "%", [0, 16], [0, 4, 8, 12, 16]) },
    series: [
      { type: "line", x: [750, 1500, 3000], y: [13.1, 9.6, 7.1], role: "alt", width: 2, label: "E_val" },
      { type: "line", x: [3000, 5000, 7500, 9400], y: [7.1, 6.2, 5.4, 5], role: "alt", dash: true, label: "extrapolated" },
      { type: "points", x: n, y: [13.1, 9.6, 7.1], role: "alt", titles: ["750: 13.1 %", "1,500: 9.6 %", "3,000: 7.1 %"] },
      { type: "line", x: n, y: [2.2, 3.6, 4.8], role: "accent", width: 2, label: "E_train" },
      { type: "rule", orient: "h", at: 5, role: "good", dash: true, text: "goal" },
    ],
  };
}

function foundOf(id: string, { badges, hidden }: Known): Found[] {
  const { title, text, cost, method, source, badge } = LEAVES[id]!;
  const known = badges[id];
  const word: BadgeWord = known === undefined ? "not tested" : hidden ? "hidden" : badge === "not tested" ? "weak" : badge;
  const open = word === "strong" || word === "weak" || word === "none";
  const numbers = open ? [{ name: "effect", text: text || "gradients shrink 40-fold" }, { name: "estimated precision", text: ".88 (.83 to .92)" },
    { name: "images", text: "3,000" }] : [];
  return [{ test: id, title: id === "labels" ? "Confident learning" : title, badge: word, text: open ? text : "", numbers, method, source,
    cost: known ? `ran ${cost}` : cost, can_run: !hidden }];
}

const MEANING: Record<string, [title: string, text: string]> = {
  start: ["Three errors", "E_train and E_test are compared with the goal. Which one is above it says where to look first."],
  goal_met: ["Goal met", "Stop here; report E_test with its interval."],
  train_high: ["E_train above the goal", "The network does not even fit the images it was trained on."],
  test_high: ["E_train at the goal, E_test above it", "The network fits S_train and fails on new images."],
  data: ["Quality of the source data", "Four ways in which the data can be the cause."],
  data_too: ["The same data leaves", "Wrong labels and unlike samples raise E_test as well: added to the lecture."],
};

export function detailOf(id: string, known: Known, attempt: Detail["attempt"]): Detail {
  const base = { leaf: id, family: "", lead: "", role: "muted" as Role, confidence: "", confidence_raw: null, action: "", chart: null, tests: [],
    remedies: [], attempt: null };
  const leaf = LEAVES[id];
  if (!leaf) return { ...base, title: MEANING[id]?.[0] ?? id, text: MEANING[id]?.[1] ?? "" };
  const open = known.badges[id] !== undefined && !known.hidden;
  const strong = open && id === "labels";
  const remedies: RemedyChoice[] = leaf.remedies.map(([name, title, text]) => ({ name, title, text,
    cost: "about 40 s: 3 paired seeds, each trained twice",
    reason: name === "more" ? "No further images are at hand: give pool= to the experiment." : "" }));
  return {
    ...base, title: leaf.title, family: leaf.family, lead: strong ? "about 8 % of the labels look wrong" : open ? leaf.text : "",
      role: strong ? "bad" : "ink",
    confidence: strong ? "confidence 62 %" : "", confidence_raw: strong ? 0.62 : null,
      text: id === "labels" ? "Labels that the network, trained without them, confidently contradicts." : "What this leaf means, in a sentence or two.",
    action: id === "labels" ? "Look at the suspects; mend or drop them, and train again."
      : "Try the remedy; keep it only where the paired comparison confirms it.",
    chart: strong ? suspectsChart() : null, tests: foundOf(id, known), remedies, attempt,
  };
}
