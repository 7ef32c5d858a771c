// A drawing of one's own: grey levels under a pencil with a soft edge. Pure.

export class Sketch {
  readonly pixels: Uint8Array;

  constructor(readonly width: number, readonly height: number) {
    this.pixels = new Uint8Array(width * height);
  }

  /** Radius of the pencil in pixels: about that of the strokes of MNIST, where the picture is 28 pixels wide. */
  get radius(): number {
    return Math.max(0.8, Math.min(this.width, this.height) / 20);
  }

  get empty(): boolean {
    return this.pixels.every((level) => level === 0);
  }

  clear(): void {
    this.pixels.fill(0);
  }

  /** A stroke from a to b, in pixels; (0.5, 0.5) is the middle of the first one. What is dark already stays. */
  stroke(ax: number, ay: number, bx: number, by: number): void {
    const reach = this.radius + 1;
    const [x0, x1] = [Math.max(0, Math.floor(Math.min(ax, bx) - reach)), Math.min(this.width - 1, Math.ceil(Math.max(ax, bx) + reach))];
    const [y0, y1] = [Math.max(0, Math.floor(Math.min(ay, by) - reach)), Math.min(this.height - 1, Math.ceil(Math.max(ay, by) + reach))];
    const [dx, dy] = [bx - ax, by - ay];
    const length = dx * dx + dy * dy;
    for (let y = y0; y <= y1; y += 1) {
      for (let x = x0; x <= x1; x += 1) {
        const t = length === 0 ? 0 : Math.max(0, Math.min(1, ((x + 0.5 - ax) * dx + (y + 0.5 - ay) * dy) / length));
        const away = Math.hypot(x + 0.5 - ax - t * dx, y + 0.5 - ay - t * dy);
        const level = Math.round(255 * Math.max(0, Math.min(1, this.radius + 0.5 - away)));
        const at = y * this.width + x;
        if (level > this.pixels[at]!) this.pixels[at] = level;
      }
    }
  }
}
