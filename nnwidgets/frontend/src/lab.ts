// The compression lab's contract: its figures and charts come as partial views, which are merged.
import type { Contract } from "./contract";
import { useStore } from "./controls/useStore";
import { initial, merge, replace, type Shown } from "./merge";
import type { Store } from "./store";
import { READ, WRITTEN, type CommandName, type Read, type Written } from "./wire";

export interface LabSheet {
  read: Read;
  written: Written;
  command: CommandName;
  shown: Shown;
}

export type LabStore = Store<LabSheet>;

export const LAB: Contract<LabSheet> = {
  read: READ,
  written: WRITTEN,
  counter: "gesture",
  initial: (get) => initial(get("snapshot_view"), get("view")),
  next(shown, trait, get) {
    if (trait === "view") return merge(shown, get("view"));
    return trait === "snapshot_view" ? replace(shown, get("snapshot_view")) : shown;
  },
};

export const useLab = (): LabStore => useStore() as unknown as LabStore;
