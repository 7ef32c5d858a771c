// Every English string of the error analysis' own parts; what all widgets say is in strings.ts.
import type { Attempted, BadgeWord } from "./analysis_wire";

export const words = {
  name: "Error analysis",
  loading: "The errors are being measured …",
  ready: "ready",
  more: "More: code, figure, track, hall, type",
  hint: "Arrow keys walk through the flowchart, Enter chooses, t tests.",

  testAll: "Test all",
  testAllFor: (cost: string): string => `Test all, ${cost}`,
  budget: "within",
  tryAdvice: "Try the advice",
  looks: (count: number): string => `S_test looked at ${count === 1 ? "once" : `${count} times`}`,
  saveTrack: "Save the track",
  saveRecording: "Save a recording to replay",
  trackAsFile: "Track",
  hall: "In a hall",
  hallOn: "Badges wait for the vote",
  hiddenNow: "Badges wait for the vote.",
  hiddenHow: "Vote first: which leaf is it? Then reveal what the tests found.",
  reveal: "Reveal",

  // number line
  errors: "Errors and the goal",
  goal: "Goal: share of errors that is allowed",
  unmeasured: "The errors are not measured yet.",

  // flowchart
  flowchart: "Flowchart of error analysis",
  extension: "added to the lecture",
  placeSaid: (place: number): string => `number ${place} among the causes found`,
  testing: "being tested",
  afterVote: "after the vote",
  notTested: (cost: string): string => (cost ? `not tested, ${cost}` : "not tested"),
  columns: { top: "Start", train: "E_train above the goal", test: "E_train at the goal, E_test above it", data: "Data", both: "Both branches" },
  undecided: "undecided: inside the noise",
  onTheWay: "on the way",

  // detail
  detail: "Chosen box",
  noDetail: "Choose a box of the flowchart: what is known of it appears here.",
  tests: "Tests",
  test: "Test",
  again: "Again",
  numbers: "Numbers",
  action: "What to do",
  remedies: "Remedies",
  seeds: "Pairs of runs",
  apply: "Apply and retrain",
  applyThis: (title: string): string => `Apply and retrain: ${title}`,
  lastAttempt: "Last attempt",

  // track
  track: "Attempts",
  trackHint: "What was changed, and what came of it. Row 0 is the experiment as it was given.",
  trackTable: "Table of the attempts",
  trackEmpty: "Nothing was tried yet: choose a remedy and apply it.",
  trackColumns: ["Attempt", "E_val before → after", "E_train", "E_test", "Verdict", "Cost", "In the flowchart"],
  show: "Show",
  shown: "shown",
  showThis: (title: string): string => `Show in the flowchart: ${title}`,
  verdicts: {
    confirmed: "confirmed", refuted: "refuted", "not established": "not established", start: "as given", measured: "measured",
  } satisfies Record<Attempted["verdict"], string>,

  // panels
  panel: "Look closer",
  none: "none",
  sample: "Sample",
  order: "Order",
  pair: "Label and answer",
  threshold: "Suspects taken",
  matrixCorner: "label ↓ answer →",
  cell: (label: string, answer: string, count: number): string => `label ${label}, answer ${answer}: ${count}`,
  images: "Images",
  chosenImage: "Chosen image",
  noImage: "Choose an image.",
  keep: "Keep",
  drop: "Drop",
  relabel: "Relabel",
  undecide: "Undecide",
  tag: "Tag",
  tagHint: "e.g. broken stroke",
  setTag: "Set tag",
  open: "Open in the layer explorer",

  // practice
  practice: "Practice",
  practiceTitle: "Practice: find the planted fault",
  practiceHow: "Another small network is shown, mostly with a planted fault. Test, then name the cause; fewer tests score higher.",
  fault: "Fault",
  byChance: "by chance",
  bySeed: "by number",
  seed: "Number",
  seedHow: "The same number plants the same fault: one a student.",
  start: "Start",
  cause: "Your guess",
  choose: "choose a cause",
  commit: "Commit guess",
  used: (count: number): string => `${count} ${count === 1 ? "test" : "tests"} used`,
  guessed: "Guess",
  truth: "Planted",
  score: "Score",
  saveResult: "Save result",
  end: "End",
  faultNumber: (seed: number): string => `fault number ${seed}`,
};

export const SIGNS: Record<BadgeWord, string> = {
  strong: "●", weak: "◐", none: "○", "not tested": "…", "does not apply": "–", failed: "!", hidden: "?",
};

export const VERDICT_SIGNS: Record<Attempted["verdict"], string> = { confirmed: "✓", refuted: "✗", "not established": "?", start: "", measured: "" };
