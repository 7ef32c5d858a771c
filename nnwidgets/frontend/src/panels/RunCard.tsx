import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useLab } from "../lab";
import { Progress } from "../shell/Progress";
import { strings } from "../strings";
import { Panel } from "./Panel";

interface Shown {
  words: string[]; // a heading first
  drawn: boolean;
}

/** A card that is folded until it is asked for. */
export function RunCard({ name, title, hint, children }: { name: string; title: string; hint: string; children: ComponentChildren }) {
  const [open, setOpen] = useState(false);
  return (
    <details class={`card ${name}`} open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary><h3>{title}</h3><span class="cap">{hint}</span></summary>
      {open && children}
    </details>
  );
}

/** How far a task of this name is or how it ended, its chart, and what it shows in words. */
export function Outcome({ name, view, ended = true }: { name: keyof typeof strings.charts; view: Shown; ended?: boolean }) {
  const store = useLab();
  const task = store.get("task") ?? null;
  const last = store.get("last_task");
  const chart = store.shown.charts[name];
  const [head, ...lines] = view.words;
  return (
    <>
      {task?.name === name && <Progress task={task} />}
      {!task && last?.name === name && ended && <p class={`cap r-${last.role ?? "muted"}`}>{last.text}</p>}
      {chart && view.drawn && <Panel name={name} chart={chart} below={<p class="cap">{chart.description}</p>} />}
      {head && <div class="verdict"><p><b>{head}</b></p><ul>{lines.map((line) => <li key={line}>{line}</li>)}</ul></div>}
    </>
  );
}
