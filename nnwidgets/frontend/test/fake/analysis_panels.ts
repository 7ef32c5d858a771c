// Invented panels: confusion, worst errors, suspect labels, size of the sample.
import type { Panel, TileItem } from "../../src/analysis_wire";
import { learningChart } from "./analysis_records";
import { digit, pack, random } from "./rasters";

const DIGITS = Array.from({ length: 10 }, (_, i) => String(i));
const empty = (name: string, title: string, text: string): Panel => ({ name, title, text, empty: "", charts: {}, columns: [], rows: [], matrix: null,
  tiles: null, items: [], notes: [], can_run: "" });

export function countsOf(): number[][] {
  const r = random(3);
  const often: Record<string, number> = { "4,9": 21, "9,4": 13, "7,1": 9, "3,5": 11, "5,3": 8, "8,3": 7 };
  return DIGITS.map((_, i) => DIGITS.map((_,
    j) => (i === j ? Math.round(180 + 30 * r()) : (often[`${i},${j}`] ?? (r() < 0.25 ? 1 + Math.floor(2 * r()) : 0)))));
}

const PAIRS = [[4, 9], [7, 1], [3, 5], [9, 4], [8, 3], [0, 6], [5, 3], [2, 7]] as const;

function itemsOf(count: number, label: (i: number, a: number, b: number) => Pick<TileItem, "label" | "text">, marks: ReadonlyMap<string,
  string>): TileItem[] {
  return Array.from({ length: count }, (_, i) => {
    const [a, b] = PAIRS[i % PAIRS.length]!;
    const mark = marks.get(String(i)) ?? "";
    return { id: String(i), ...label(i, a, b), mark, role: mark === "keep" ? "good" : mark === "drop" ? "bad" : mark ? "accent" : "muted" };
  });
}

const pictures = (count: number) => pack(Array.from({ length: count }, (_, i) => digit(i)), 28, 28, { kind: "grey", span: [0, 1] });

export interface Chosen {
  pair: string;
  sample: string;
  threshold: number;
  marks: ReadonlyMap<string, string>;
}

export function panelOf(name: string, { pair, sample, threshold, marks }: Chosen): Panel {
  if (name === "confusion") {
    const worst = [["4", "9", "21", "10.4 %"], ["9", "4", "13", "6.6 %"], ["3", "5", "11", "5.5 %"]];
    return { ...empty(name, "Confusion", `2,000 images of S_${sample}: label down, answer across. An error opens its images.`),
      matrix: { labels: DIGITS, counts: countsOf() },
      columns: ["label", "answer", "images", "share of the label"], rows: worst.map((row) => row.map((text, i) => (i === 3 ? { text,
        role: "bad" as const } : { text }))) };
  }
  if (name === "worst") {
    const count = pair ? 9 : 24;
    return { ...empty(name, "Worst errors", `${count} of 142 wrong images of S_${sample}, the surest first.`), tiles: pictures(count),
      items: itemsOf(count, (i, a, b) => ({ label: `${a}, says ${b}`,
        text: `image ${100 + 7 * i}: label ${a}, answer ${b} with ${(99 - i / 2).toFixed(1)} %` }), marks), notes: [{ text: `${marks.size} tagged`,
        role: "muted" }] };
  }
  if (name === "suspects") {
    const count = Math.max(4, Math.round(40 * (1.1 - threshold)));
    return { ...empty(name, "Suspect labels", `${count} of 272 suspects shown: the label, and what the network says that never saw it.`),
      tiles: pictures(count),
      items: itemsOf(count, (i, a, b) => ({ label: `${a} not ${b}`,
        text: `image ${11 * i + 3}: label ${a}, held-out answer ${b}, doubt ${(0.99 - i / 100).toFixed(2)}` }), marks),
        notes: [{ text: "estimated precision .88 (.83 to .92)", role: "muted", name: "precision", raw: 0.88 }] };
  }
  if (name === "curve") return { ...empty(name, "Size of S_train", "Errors with a part of the images, and a power law through them."),
    charts: { learning: learningChart(), again: { ...learningChart(), title: "The same by class" } }, can_run: "Measure again, 14 s" };
  return { ...empty(name, "Calibration", ""), empty: "Nothing yet: the answers are not compared with their probabilities.", can_run: "Measure, 3 s" };
}
