// Which channel is meant: a layer may have fewer than the one that was chosen before it.
import type { Panel } from "../explorer_wire";
import type { ExplorerStore } from "./contract";

/** How many channels the panel's layer has, 0 where it does not tell. */
export function channelsOf(panel: Panel | null | undefined): number {
  if (!panel) return 0;
  if (panel.channels !== undefined) return panel.channels;
  if (panel.view === "top9" || (panel.tiles.length === 1 && !panel.tiles[0]!.label)) return 0; // ranks; one matrix
  return Math.max(0, ...panel.tiles.map((tile) => tile.id + 1));
}

/** The chosen channel, or the last one there is. */
export function heldChannel(store: ExplorerStore): number {
  const [held, panel] = [store.value("channel", 0), store.shown.panel];
  const count = panel?.layer === store.value("layer", "") && panel.view !== "attention" ? channelsOf(panel) : 0;
  return count > 0 ? Math.min(held, count - 1) : held;
}
