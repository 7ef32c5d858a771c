// What the store, the controls and the entry need of a widget: its traits, its commands, and what of them is on the screen.
import type { Failure, Help, LastTask, Notice, Status, Task, Value } from "./wire";

/** Read-only traits that every widget has. */
export interface Common {
  seq: number;
  status: Status;
  options: object;
  help: Record<string, Help>;
  task: Task | null;
  last_task: LastTask | null;
  error: Failure | null;
  notices: Notice[];
  code: string;
}

/** What is drawn: nothing of a message whose sequence number is below `seq`. */
export interface Frame {
  seq: number;
  loaded: boolean;
}

/** The types of one widget. */
export interface Sheet {
  read: Common;
  written: object;
  command: string;
  shown: Frame;
}

export type TraitsOf<S extends Sheet> = S["read"] & S["written"];
export type Get<S extends Sheet> = <K extends keyof TraitsOf<S>>(trait: K) => TraitsOf<S>[K] | undefined;

/** The same at run time. */
export interface Contract<S extends Sheet> {
  readonly read: readonly (keyof S["read"] & string)[];
  readonly written: readonly (keyof S["written"] & string)[];
  /** Counts the gestures, where the widget has a history: one is one step of undo. */
  readonly counter?: keyof S["written"] & string;
  /** What a view shows that joins now. */
  initial(get: Get<S>): S["shown"];
  /** What is shown after a change of `trait`; the very same object where it changes nothing. */
  next(shown: S["shown"], trait: string, get: Get<S>): S["shown"];
}

// ---- messages

export interface Command<Name extends string = string> {
  kind: "command";
  name: Name;
  args: Record<string, Value>;
  id: string;
}

export type Answer =
  | { kind: "file"; name: string; mime: string; id?: string }
  | { kind: "said"; text: string; id?: string };

/** Called by the widget manager when the kernel begins and ends the work of one message. */
export interface Callbacks {
  iopub: { status: (message?: { content?: { execution_state?: string } }) => void };
}

/** What the front end needs of an anywidget model. */
export interface Model<S extends Sheet = Sheet> {
  get<K extends keyof TraitsOf<S>>(name: K): TraitsOf<S>[K] | undefined;
  set<K extends keyof S["written"]>(name: K, value: S["written"][K]): void;
  save_changes(callbacks?: Callbacks): void;
  send(content: Command<S["command"]>, callbacks?: Callbacks, buffers?: ArrayBuffer[]): void;
  on(event: string, callback: (...args: never[]) => void): void;
  off(event?: string | null, callback?: ((...args: never[]) => void) | null): void;
  comm_live?: boolean;
}
