import type { Note } from "../wire";

export const plain = (raw: number | null | undefined): string => (raw === null || raw === undefined ? "" : String(raw));

export function NoteView({ note }: { note: Note }) {
  const mark = note.name ? { "data-nnw-value": note.name, "data-nnw-raw": plain(note.raw) } : {};
  return <span class={`note r-${note.role ?? "muted"}`} {...mark}>{note.text}</span>;
}
