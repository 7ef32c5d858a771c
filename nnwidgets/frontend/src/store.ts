// One accumulated state per model, shared by all its views.
import { Connection } from "./connection";
import type { Answer, Callbacks, Contract, Model, Sheet, TraitsOf } from "./contract";
import { download } from "./files";
import { Gestures } from "./gestures";
import { Holds, REST } from "./holds";
import type { Value } from "./wire";

const ANSWER = 2500; // ms after which a command button works again whatever happened
const LEAST = 400; // ms in which a second click is taken for a double click, answered or not
const STEPS: ReadonlySet<string> = new Set(["undo", "redo", "train_step"]); // may follow each other as fast as they are answered
const now = (): number => performance.now();

type Read<S extends Sheet> = keyof TraitsOf<S>;
type Written<S extends Sheet> = keyof S["written"];

export class Store<S extends Sheet = Sheet> {
  shown: S["shown"];
  said = "";
  private readonly listeners = new Set<() => void>();
  private readonly holds = new Holds();
  private readonly gestures = new Gestures();
  private readonly connection = new Connection();
  private readonly busy = new Map<string, number>();
  private readonly subscriptions: [string, (...args: never[]) => void][] = [];
  private timers = new Set<ReturnType<typeof setTimeout>>();
  private sequence = 0;
  private writing = false;
  private resynced = false;
  // A change that moves no figure is answered by no trait; the kernel's own "busy" and "idle" say that it arrived
  private readonly callbacks: Callbacks = { iopub: { status: () => this.onStatus() } };

  constructor(readonly model: Model<S>, private readonly contract: Contract<S>) {
    this.shown = contract.initial((trait) => this.get(trait));
    for (const trait of contract.read) this.listen(`change:${trait}`, () => this.onRead(trait));
    for (const trait of contract.written) this.listen(`change:${trait}`, () => this.onWritten(trait));
    this.listen("msg:custom", (answer: Answer, buffers: DataView[]) => this.onAnswer(answer, buffers));
    this.listen("comm:close", () => this.onLive(false));
    window.addEventListener("pointerup", this.onPointerUp, true);
    window.addEventListener("pointercancel", this.onPointerUp, true);
  }

  /** Removes every listener; the store is not used afterwards. */
  destroy(): void {
    for (const [event, callback] of this.subscriptions) this.model.off(event, callback);
    window.removeEventListener("pointerup", this.onPointerUp, true);
    window.removeEventListener("pointercancel", this.onPointerUp, true);
    for (const timer of this.timers) clearTimeout(timer);
    this.listeners.clear();
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // ---- reading

  get<K extends Read<S>>(trait: K): TraitsOf<S>[K] | undefined {
    return this.model.get(trait) ?? undefined;
  }

  /** What a control shows: the finger's value while it is moved, else the model's. `key` may name a part of a trait. */
  held<T>(key: string, value: T): T {
    return this.holds.shown(key, value, now());
  }

  /** Whether a control is moved, or was a moment ago. */
  moving(key: string): boolean {
    return this.holds.moving(key, now());
  }

  value<K extends Written<S> & string>(trait: K, otherwise: S["written"][K]): S["written"][K] {
    return this.held<S["written"][K]>(trait, this.get(trait) ?? otherwise);
  }

  get link(): "live" | "silent" | "gone" {
    return this.connection.state(now());
  }

  /** `key` is the command's name, or what it was sent under. */
  isBusy(key: string): boolean {
    return this.busy.has(key);
  }

  // ---- writing

  grab(key: string): void {
    this.gestures.begin();
    this.holds.grab(key, now());
  }

  /** Sends a value; `key` names the control where that is not the trait itself, `seen` what it shows then. */
  write<K extends Written<S> & string>(trait: K, value: S["written"][K], how: { discrete?: boolean; key?: string; seen?: unknown } = {}): void {
    const key = how.key ?? trait;
    this.holds.sent(key, "seen" in how ? how.seen : value, now());
    if (this.gestures.next(key, now(), how.discrete ?? false)) this.count();
    this.send(trait, value);
  }

  private count(): void {
    const { counter } = this.contract;
    if (counter) this.model.set(counter, (Number(this.get(counter) ?? 0) + 1) as S["written"][typeof counter]);
  }

  /** Sends a setting that is no step of the history (epochs, learning rate, the chosen layer). */
  set<K extends Written<S> & string>(trait: K, value: S["written"][K]): void {
    this.holds.sent(trait, value, now());
    this.send(trait, value);
  }

  private send<K extends Written<S>>(trait: K, value: S["written"][K]): void {
    this.writing = true;
    try {
      this.model.set(trait, value);
      this.model.save_changes(this.callbacks);
    } finally {
      this.writing = false;
    }
    this.ask();
    this.later(REST + 20);
    this.notify();
  }

  /**
   * Sends a command once; until an answer, or a while, further ones of the same name are ignored. With a `key` only those of
   * the same key: two channels are switched off faster than one button is pressed twice.
   */
  command(name: S["command"], args: Record<string, Value> = {}, how: { key?: string; buffers?: ArrayBuffer[] } = {}): void {
    const key = how.key ?? name;
    if (this.busy.has(key)) return;
    this.busy.set(key, now());
    this.post(name, args, how.buffers);
    for (const ms of [LEAST, ANSWER]) this.after(ms, () => this.settle(key, ms));
    this.ask();
    this.notify();
  }

  private post(name: S["command"], args: Record<string, Value> = {}, buffers?: ArrayBuffer[]): void {
    this.model.send({ kind: "command", name, args, id: `${name}-${++this.sequence}` }, this.callbacks, buffers);
  }

  /** Frees a button: soon where there was an answer, in the end in any case. */
  private settle(key: string, ms: number): void {
    if (ms === ANSWER || !this.connection.waiting) this.busy.delete(key);
    this.notify();
  }

  /** Puts a sentence into the live region. */
  say(text: string): void {
    this.said = text;
    this.notify();
  }

  // ---- hearing

  private readonly onPointerUp = (): void => {
    this.gestures.end();
    if (this.holds.releaseAll(now())) this.later(REST + 20);
  };

  private onRead(trait: keyof S["read"] & string): void {
    this.answered();
    this.shown = this.contract.next(this.shown, trait, (each) => this.get(each));
    this.notify();
  }

  private onWritten(trait: Written<S> & string): void {
    if (this.writing) return;
    this.answered();
    this.holds.heard(trait, this.get(trait));
    this.notify();
  }

  private onAnswer(answer: Answer, buffers: DataView[] | undefined): void {
    this.answered();
    if (answer?.kind === "file" && buffers?.[0]) download(answer.name, answer.mime, buffers[0]);
    if (answer?.kind === "said") this.said = String(answer.text);
    this.notify();
  }

  private onStatus(): void {
    const silent = this.link === "silent";
    this.answered();
    if (silent) this.notify();
  }

  /** The comm opened or closed. */
  onLive(live: boolean): void {
    if (this.connection.gone === !live) return;
    this.connection.gone = !live;
    if (live) {
      this.answered();
      this.command("resync");
    }
    this.notify();
  }

  private answered(): void {
    this.connection.heard();
    this.resynced = false;
    for (const [name, since] of this.busy) if (STEPS.has(name) || now() - since >= LEAST) this.busy.delete(name);
  }

  private ask(): void {
    this.connection.sent(now());
    const due = this.connection.due(now());
    if (due !== null) this.after(due + 10, () => this.onSilence());
  }

  /** Nobody answered: the message may have been lost on the way, so the whole state is asked for, once. */
  private onSilence(): void {
    if (this.link === "silent" && !this.resynced) {
      this.resynced = true;
      this.post("resync");
    }
    this.notify();
  }

  // ---- housekeeping

  private listen(event: string, callback: (...args: never[]) => void): void {
    this.model.on(event, callback);
    this.subscriptions.push([event, callback]);
  }

  private notify(): void {
    for (const listener of [...this.listeners]) listener();
  }

  private later(ms: number): void {
    this.after(ms, () => this.notify());
  }

  private after(ms: number, what: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      what();
    }, ms);
    this.timers.add(timer);
  }
}

const stores: unknown[] = [];

/**
 * The store of a model. anywidget wraps the model anew for initialize and for each view, so that the wrappers differ;
 * two of them belong together when they hand out the very same object.
 */
export function storeOf<S extends Sheet>(model: Model<S>, contract: Contract<S>): Store<S> {
  const mark = model.get("options");
  const known = (stores as Store<S>[]).find(
    (each) => each.model === model || (typeof mark === "object" && mark !== null && each.model.get("options") === mark),
  );
  if (known) return known;
  const store = new Store(model, contract);
  stores.push(store);
  return store;
}

export function forget<S extends Sheet>(store: Store<S>): void {
  const at = stores.indexOf(store);
  if (at >= 0) stores.splice(at, 1);
  store.destroy();
}
