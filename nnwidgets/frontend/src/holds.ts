// While a control is moved, and for a moment after, what the kernel says does not move it, unless it is a correction. Pure.

export const REST = 300; // ms after the last move
const REMEMBERED = 200; // values sent, to tell an echo from a correction

interface Hold {
  value: unknown;
  sent: unknown[];
  dragging: boolean;
  until: number;
}

export const same = (a: unknown, b: unknown): boolean =>
  a === b ||
  (typeof a === "number" && typeof b === "number" && Math.abs(a - b) < 1e-9) ||
  (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));

export class Holds {
  private readonly held = new Map<string, Hold>();

  /** The pointer is down on the control `key`. */
  grab(key: string, now: number): void {
    const hold = this.held.get(key);
    if (hold) Object.assign(hold, { dragging: true, until: now + REST });
    else this.held.set(key, { value: undefined, sent: [], dragging: true, until: now + REST });
  }

  sent(key: string, value: unknown, now: number): void {
    const hold = this.held.get(key) ?? { value, sent: [], dragging: false, until: 0 };
    hold.value = value;
    hold.sent = [...hold.sent.slice(1 - REMEMBERED), value];
    hold.until = now + REST;
    this.held.set(key, hold);
  }

  release(key: string, now: number): void {
    const hold = this.held.get(key);
    if (hold) Object.assign(hold, { dragging: false, until: now + REST });
  }

  releaseAll(now: number): boolean {
    const dragged = [...this.held].filter(([, hold]) => hold.dragging).map(([key]) => key);
    for (const key of dragged) this.release(key, now);
    return dragged.length > 0;
  }

  /** A value came from the kernel; one that was never sent is a correction and wins. True when it did. */
  heard(key: string, value: unknown): boolean {
    const hold = this.held.get(key);
    if (!hold || hold.value === undefined || hold.sent.some((each) => same(each, value))) return false;
    this.held.delete(key);
    return true;
  }

  /** Whether the control is moved, or was a moment ago. */
  moving(key: string, now: number): boolean {
    const hold = this.held.get(key);
    return hold !== undefined && (hold.dragging || now < hold.until);
  }

  /** What the control shows, given the value of the model. */
  shown<T>(key: string, value: T, now: number): T {
    const hold = this.held.get(key);
    if (!hold) return value;
    if (!hold.dragging && now >= hold.until) {
      this.held.delete(key);
      return value;
    }
    return hold.value === undefined ? value : (hold.value as T);
  }
}
