// How long a person works at a region: while the page is seen, and somebody moves. performance.now() never jumps.

const IDLE_MS = 60000;

export class Effort {
  constructor() {
    this.last = performance.now();
    this.restart();
    for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) {
      addEventListener(kind, () => this.#count(), { capture: true, passive: true });
    }
    document.addEventListener("visibilitychange", () => {
      this.last = performance.now();
    });
  }

  restart() {
    [this.ms, this.clicks] = [0, 0];
    this.last = performance.now();
  }

  click() {
    this.clicks += 1;
  }

  get idle() {
    return document.hidden || performance.now() - this.last > IDLE_MS;
  }

  get seconds() {
    this.#count();
    return Math.round(this.ms) / 1000;
  }

  #count() {
    const now = performance.now();
    if (!document.hidden) this.ms += Math.min(now - this.last, IDLE_MS);
    this.last = now;
  }
}
