// What is painted of a region: a class a pixel of its box, never read back from a canvas, which would blur it.

import { UNKNOWN, expanded, insideOf, runsOf } from "./runs.js";

export class Labels {
  constructor(task, runs = null) {
    [, , this.width, this.height] = task.box;
    const size = this.width * this.height;
    this.inside = insideOf(task.runs, size);
    this.values = runs ? expanded(runs, size) : new Uint8Array(size).fill(UNKNOWN);
    this.past = [];
    this.future = [];
    this.stroke = null;
  }

  // Strokes are undone as a whole.
  begin() {
    this.end();
    this.stroke = new Map();
  }

  end() {
    if (this.stroke?.size) {
      this.past.push(this.stroke);
      this.future = [];
    }
    this.stroke = null;
  }

  // Takes back the stroke that is being drawn, and no former one.
  cancel() {
    for (const [i, value] of this.stroke ?? []) this.values[i] = value;
    this.stroke = null;
  }

  paint(indices, value) {
    const alone = !this.stroke;
    if (alone) this.begin();
    for (const i of indices) {
      if (!this.inside[i] || this.values[i] === value) continue;
      if (!this.stroke.has(i)) this.stroke.set(i, this.values[i]);
      this.values[i] = value;
    }
    if (alone) this.end();
  }

  fill(value) {
    const left = [];
    this.values.forEach((found, i) => {
      if (this.inside[i] && found === UNKNOWN) left.push(i);
    });
    this.paint(left, value);
  }

  undo() {
    return this.#turn(this.past, this.future);
  }

  redo() {
    return this.#turn(this.future, this.past);
  }

  #turn(from, to) {
    this.end();
    const changes = from.pop();
    if (!changes) return false;
    const back = new Map();
    for (const [i, value] of changes) {
      back.set(i, this.values[i]);
      this.values[i] = value;
    }
    to.push(back);
    return true;
  }

  get painted() {
    return this.values.some((value) => value !== UNKNOWN);
  }

  get left() {
    let count = 0;
    this.values.forEach((value, i) => {
      if (this.inside[i] && value === UNKNOWN) count += 1;
    });
    return count;
  }

  get runs() {
    return runsOf(this.values);
  }
}
