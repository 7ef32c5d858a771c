// One gesture is one step of undo: a drag, a run of key presses without a rest, a click. Pure.

export const PAUSE = 800; // ms of rest that end a run of key presses

export class Gestures {
  private fresh = true;
  private down = false;
  private last = Number.NEGATIVE_INFINITY;
  private key = "";

  /** The pointer went down on a slider. */
  begin(): void {
    this.fresh = true;
    this.down = true;
  }

  end(): void {
    this.down = false;
  }

  /** Does the write to `key` at time `now` begin a new gesture? Discrete controls always do. */
  next(key: string, now: number, discrete: boolean): boolean {
    const begins = this.fresh || discrete || key !== this.key || (!this.down && now - this.last >= PAUSE);
    this.fresh = false;
    this.last = now;
    this.key = key;
    return begins;
  }
}
