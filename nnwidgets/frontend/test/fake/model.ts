// A stand-in for an anywidget model: traits, events, and a "kernel" that answers. Like anywidget, each view gets its own wrapper.
import type { Callbacks, Command, Model, Sheet, TraitsOf } from "../../src/contract";
import type { LabSheet } from "../../src/lab";

type Callback = (...args: never[]) => void;
export type Writes<S extends Sheet = LabSheet> = Partial<TraitsOf<S>>;

export class FakeModel<S extends Sheet = LabSheet> {
  readonly sent: Command<S["command"]>[] = [];
  readonly buffers: ArrayBuffer[][] = []; // of each command
  readonly saves: Writes<S>[] = [];
  alive = true; // a dead kernel says nothing
  answers = false; // to commands: only where a test says so
  private readonly listeners = new Map<string, { callback: Callback; context: unknown }[]>();
  private changed: Writes<S> = {};
  onSave: (writes: Writes<S>) => void = () => {};
  onCommand: (command: Command<S["command"]>, buffers: ArrayBuffer[]) => void = () => {};

  constructor(private readonly state: Writes<S>) {}

  get<K extends keyof TraitsOf<S>>(name: K): TraitsOf<S>[K] | undefined {
    return this.state[name];
  }

  set<K extends keyof TraitsOf<S>>(name: K, value: TraitsOf<S>[K]): void {
    if (Object.is(this.state[name], value)) return;
    this.state[name] = value;
    this.changed[name] = value;
    this.trigger(`change:${String(name)}`, this, value);
  }

  save_changes(callbacks?: Callbacks): void {
    const writes = this.changed;
    this.changed = {};
    this.saves.push(writes);
    this.onSave(writes);
    if (this.alive) callbacks?.iopub.status();
  }

  send(content: Command<S["command"]>, callbacks?: Callbacks, buffers: ArrayBuffer[] = []): void {
    this.sent.push(content);
    this.buffers.push(buffers);
    this.onCommand(content, buffers);
    if (this.answers && this.alive) callbacks?.iopub.status();
  }

  /** What the kernel changes, in one message. */
  receive(updates: Writes<S>): void {
    for (const [name, value] of Object.entries(updates)) {
      (this.state as Record<string, unknown>)[name] = value;
    }
    for (const [name, value] of Object.entries(updates)) this.trigger(`change:${name}`, this, value);
  }

  answer(content: unknown, buffers: DataView[] = []): void {
    this.trigger("msg:custom", content, buffers);
  }

  on(event: string, callback: Callback, context?: unknown): void {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), { callback, context }]);
  }

  off(event?: string | null, callback?: Callback | null, context?: unknown): void {
    for (const [name, list] of this.listeners) {
      if (event && name !== event) continue;
      this.listeners.set(name, list.filter((each) => (callback && each.callback !== callback) || (context && each.context !== context)));
    }
  }

  get listening(): number {
    return [...this.listeners.values()].reduce((sum, list) => sum + list.length, 0);
  }

  trigger(event: string, ...args: unknown[]): void {
    for (const { callback, context } of this.listeners.get(event) ?? []) callback.apply(context, args as never[]);
  }

  /** What anywidget hands to initialize and to each render. */
  wrapper(context: unknown): Model<S> {
    return {
      get: this.get.bind(this),
      set: this.set.bind(this) as Model<S>["set"],
      save_changes: this.save_changes.bind(this),
      send: this.send.bind(this),
      on: (event, callback) => this.on(event, callback, context),
      off: (event, callback) => this.off(event, callback, context),
    };
  }
}
