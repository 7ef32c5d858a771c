// The layer explorer's contract: each record is whole; none of a message older than what is shown is drawn.
import type { Contract, Get } from "../contract";
import { useStore } from "../controls/useStore";
import { READ, WRITTEN, type CommandName, type Read, type Written } from "../explorer_wire";
import type { Store } from "../store";

const RECORDS = ["tree", "panel", "unit", "input", "answers", "switched", "about"] as const;

export type Shown = { seq: number; loaded: boolean } & Partial<Pick<Read, (typeof RECORDS)[number]>>;

export interface ExplorerSheet {
  read: Read;
  written: Written;
  command: CommandName;
  shown: Shown;
}

export type ExplorerStore = Store<ExplorerSheet>;

const isRecord = (trait: string): trait is (typeof RECORDS)[number] => (RECORDS as readonly string[]).includes(trait);

/** The records of one message arrive with its sequence number, so that each is judged by it. */
export function take(shown: Shown, trait: string, get: Get<ExplorerSheet>): Shown {
  if (trait !== "seq" && !isRecord(trait)) return shown;
  const seq = get("seq") ?? 0;
  if (seq < shown.seq) return shown;
  const next = isRecord(trait) ? { ...shown, seq, [trait]: get(trait) } : { ...shown, seq };
  return { ...next, loaded: shown.loaded || Boolean(next.tree?.length || next.panel) };
}

export const EXPLORER: Contract<ExplorerSheet> = {
  read: READ,
  written: WRITTEN,
  initial: (get) => RECORDS.reduce<Shown>((shown, trait) => take(shown, trait, get), { seq: -1, loaded: false }),
  next: take,
};

export const useExplorer = (): ExplorerStore => useStore() as unknown as ExplorerStore;
