// Folding and walking of the structure tree. The nodes are in order, each with its depth. Pure.
import type { Node } from "../explorer_wire";

const OPEN = 60; // a tree of at most so many rows is open at first

/** How far a node's branch reaches: the index after its last descendant. */
export function after(nodes: readonly Node[], at: number): number {
  let end = at + 1;
  while (end < nodes.length && nodes[end]!.depth > nodes[at]!.depth) end += 1;
  return end;
}

/** The containers around a node, innermost first. */
export function around(nodes: readonly Node[], at: number): number[] {
  const found: number[] = [];
  for (let i = at - 1, depth = nodes[at]?.depth ?? 0; i >= 0 && depth > 0; i -= 1) {
    if (nodes[i]!.depth < depth) {
      found.push(i);
      depth = nodes[i]!.depth;
    }
  }
  return found;
}

/** What is folded at first: nothing in a small tree; in a large one the containers that do not lead to `layer`. */
export function folded(nodes: readonly Node[], layer: string): Set<string> {
  if (nodes.length <= OPEN) return new Set();
  const at = nodes.findIndex((node) => node.id === layer);
  const path = new Set(at < 0 ? [] : around(nodes, at));
  return new Set(nodes.filter((node, i) => node.container && !path.has(i)).map((node) => node.id));
}

/** Indices of the rows that show. */
export function rows(nodes: readonly Node[], closed: ReadonlySet<string>): number[] {
  const found: number[] = [];
  for (let i = 0; i < nodes.length; ) {
    found.push(i);
    i = nodes[i]!.container && closed.has(nodes[i]!.id) ? after(nodes, i) : i + 1;
  }
  return found;
}

/** `closed` with the way to a node open. */
export function reveal(nodes: readonly Node[], closed: ReadonlySet<string>, layer: string): ReadonlySet<string> {
  const at = nodes.findIndex((node) => node.id === layer);
  const hiding = at < 0 ? [] : around(nodes, at).filter((i) => closed.has(nodes[i]!.id));
  if (hiding.length === 0) return closed;
  const opened = new Set(closed);
  for (const i of hiding) opened.delete(nodes[i]!.id);
  return opened;
}

export interface Move {
  to?: string; // the row that gets the focus
  open?: string;
  close?: string;
}

/** What a key does in the tree (WAI-ARIA's tree pattern), or null. */
export function afterKey(key: string, nodes: readonly Node[], closed: ReadonlySet<string>, at: string): Move | null {
  const shown = rows(nodes, closed);
  const row = Math.max(0, shown.findIndex((i) => nodes[i]!.id === at));
  const node = nodes[shown[row]!];
  if (!node) return null;
  const id = (index: number | undefined): Move => (index === undefined ? {} : { to: nodes[index]!.id });
  if (key === "ArrowDown") return id(shown[Math.min(shown.length - 1, row + 1)]);
  if (key === "ArrowUp") return id(shown[Math.max(0, row - 1)]);
  if (key === "Home") return id(shown[0]);
  if (key === "End") return id(shown[shown.length - 1]);
  if (key === "ArrowRight") {
    if (!node.container) return {};
    return closed.has(node.id) ? { open: node.id } : id(nodes[shown[row]! + 1] && nodes[shown[row]! + 1]!.depth > node.depth ? shown[row]! + 1 : undefined);
  }
  if (key === "ArrowLeft") return node.container && !closed.has(node.id) ? { close: node.id } : id(around(nodes, shown[row]!)[0]);
  if (key.length !== 1 || key === " ") return null;
  const turn = [...shown.slice(row + 1), ...shown.slice(0, row + 1)];
  return id(turn.find((i) => nodes[i]!.name.toLowerCase().startsWith(key.toLowerCase())));
}
