// Is anybody there? A change that nobody answers for 5 s means a busy or a dead kernel. Pure, given the time.

export const PATIENCE = 5000; // ms

export class Connection {
  private asked: number | null = null;
  gone = false; // the comm is closed

  sent(now: number): void {
    this.asked ??= now;
  }

  heard(): void {
    this.asked = null;
  }

  get waiting(): boolean {
    return this.asked !== null;
  }

  state(now: number): "live" | "silent" | "gone" {
    if (this.gone) return "gone";
    return this.asked !== null && now - this.asked >= PATIENCE ? "silent" : "live";
  }

  /** ms until the state may change by itself, or null. */
  due(now: number): number | null {
    return this.asked === null ? null : Math.max(0, this.asked + PATIENCE - now);
  }
}
