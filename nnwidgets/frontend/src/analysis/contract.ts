// The contract of the error analysis: each record is whole; none of a message older than what is shown is drawn.
import { ANALYSIS_READ, ANALYSIS_WRITTEN, type AnalysisCommand, type AnalysisRead, type AnalysisWritten } from "../analysis_wire";
import type { Contract, Get } from "../contract";
import { useStore } from "../controls/useStore";
import type { Store } from "../store";

const RECORDS = ["about", "line", "flow", "detail", "track", "board", "practice"] as const;

export type Shown = { seq: number; loaded: boolean } & Partial<Pick<AnalysisRead, (typeof RECORDS)[number]>>;

export interface AnalysisSheet {
  read: AnalysisRead;
  written: AnalysisWritten;
  command: AnalysisCommand;
  shown: Shown;
}

export type AnalysisStore = Store<AnalysisSheet>;

const isRecord = (trait: string): trait is (typeof RECORDS)[number] => (RECORDS as readonly string[]).includes(trait);

/** The records of one message arrive with its sequence number, so that each is judged by it. */
export function take(shown: Shown, trait: string, get: Get<AnalysisSheet>): Shown {
  if (trait !== "seq" && !isRecord(trait)) return shown;
  const seq = get("seq") ?? 0;
  if (seq < shown.seq) return shown;
  const next = isRecord(trait) ? { ...shown, seq, [trait]: get(trait) } : { ...shown, seq };
  return { ...next, loaded: shown.loaded || Boolean(next.flow?.nodes?.length) };
}

export const ANALYSIS: Contract<AnalysisSheet> = {
  read: ANALYSIS_READ,
  written: ANALYSIS_WRITTEN,
  initial: (get) => RECORDS.reduce<Shown>((shown, trait) => take(shown, trait, get), { seq: -1, loaded: false }),
  next: take,
};

export const useAnalysis = (): AnalysisStore => useStore() as unknown as AnalysisStore;
