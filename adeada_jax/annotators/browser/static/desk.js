// What a person does with the regions that lie on the desk: the present one, those that come next, and those
// that were answered. Tools paint; commands are what keys and buttons call.

import { draftOf, dropDraft, keepDraft } from "./draft.js";
import { bitmapOf } from "./images.js";
import { Labels } from "./labels.js";
import { get, newUuid, pause, persistently, post } from "./server.js";
import { UNKNOWN, expanded } from "./runs.js";
import { cellsOf, neighbour, polygon, stroke } from "./shapes.js";

const AHEAD = 3;
const FAR = 10;
const BACK = 50;

export class Desk extends EventTarget {
  constructor(picture, queue, effort) {
    super();
    Object.assign(this, { picture, queue, effort });
    this.request = null;
    this.classes = [];
    this.tasks = []; // that come next
    this.past = []; // {task, answer} that were given, the last at the end
    this.task = null;
    this.radius = 6;
    this.page = newUuid();
    try {
      this.page = sessionStorage.getItem("adeada.page") || this.page;
      sessionStorage.setItem("adeada.page", this.page);
    } catch {
      // Loaded anew it is another tab to the server.
    }
  }

  // A tab that was duplicated has the other's name as well; the one that holds it keeps it.
  async claim() {
    for (let attempt = 0; navigator.locks && attempt < 5; attempt += 1) {
      const free = await new Promise((resume) => {
        const held = (lock) => (resume(Boolean(lock)), lock ? new Promise(() => {}) : undefined);
        navigator.locks.request(`adeada.${this.page}`, { ifAvailable: true }, held).catch(() => resume(true));
      });
      if (free) return;
      await pause(100);
    }
    if (navigator.locks) this.page = newUuid();
  }

  tell(words, kind = "info") {
    this.dispatchEvent(new CustomEvent("tell", { detail: { words, kind } }));
  }

  #changed() {
    this.picture.changed();
    if (this.task) this.#see();
    this.dispatchEvent(new Event("change"));
  }

  // Another request: what lies there of the former one is put away unless it was begun.
  async begin(status) {
    if (status.request === this.request) return;
    this.request = status.request;
    this.classes = status.classes ?? [];
    this.tasks = [];
    this.past = [];
    if (this.task && !this.labels.painted) this.#lay(null);
    if (this.request) {
      await this.#remember();
      await this.refill();
    }
  }

  // A person's own former answers, so that they can be corrected after the page was loaded anew.
  async #remember() {
    const request = this.request;
    const told = await persistently(() => get(`/api/mine/${request}`)).catch(() => ({ answers: [] }));
    if (request !== this.request || this.past.length) return;
    this.past = told.answers.reverse().map(({ uuid, given, ...place }) => ({
      task: { ...place, request, role: "first" },
      answer: { ...given, uuid },
    }));
  }

  // Asks for what comes next, and keeps what is here.
  async refill() {
    if (this.refilling || !this.request) return;
    this.refilling = true;
    try {
      const request = this.request;
      const here = [this.task, ...this.tasks].filter((task) => task && !task.replaced);
      const waiting = this.queue.regionsOf(request);
      const held = [...here.map((task) => [task.image, task.region]), ...waiting];
      const body = { request, page: this.page, held, count: AHEAD + Math.min(waiting.length, AHEAD) };
      const told = await post("/api/tasks", body);
      if (request === this.request) this.#take(told.tasks, request);
    } catch (error) {
      if (error.status === 401) this.dispatchEvent(new CustomEvent("stranger", { detail: error }));
      else if (!this.task) this.tell(error.message, "trouble");
    } finally {
      this.refilling = false;
    }
  }

  #take(tasks, request) {
    for (const task of tasks) this.tasks.push({ ...task, request });
    for (const task of this.tasks.slice(0, AHEAD)) bitmapOf(request, task.number).catch(() => {});
    if (!this.task && this.tasks.length) this.#next();
    if (!this.task) this.dispatchEvent(new Event("change"));
  }

  #next() {
    this.#lay(this.tasks.shift() ?? null);
    if (this.tasks.length < AHEAD - 1) this.refill();
  }

  // Puts a region on the desk.
  #lay(task) {
    this.task = task;
    this.tell("");
    this.#see(null); // until the pointer moves
    this.level = 0;
    this.tool = "whole";
    this.warned = false;
    this.error = "";
    this.effort.restart();
    if (!task) {
      this.picture.show(null);
      this.dispatchEvent(new Event("change"));
      return;
    }
    this.labels = new Labels(task, task.painted ?? draftOf(task, this.queue.me));
    this.chosen = task.suggestion ?? this.classes.indexOf(this.classes[this.chosen] ?? this.classes[0]);
    const colors = this.classes.map((one) => one.color);
    this.scene = { task, labels: this.labels, colors, bitmap: null, cells: null, cursor: null };
    this.picture.show(this.scene);
    this.#showImage(this.scene);
    this.dispatchEvent(new Event("change"));
  }

  async #showImage(scene) {
    try {
      scene.bitmap = await bitmapOf(scene.task.request, scene.task.number);
    } catch (error) {
      if (scene === this.scene) {
        this.error = error.message;
        this.tell(`${error.message}. Nothing to label here, or unsure, are still answers`, "trouble");
      }
    }
    if (scene !== this.scene) return;
    this.picture.draw();
    this.dispatchEvent(new Event("change"));
  }

  #hand(answer) {
    const { task } = this;
    const { seconds, clicks } = this.effort;
    const uuid = newUuid();
    const place = { request: task.request, image: task.image, region: task.region, role: task.role };
    const full = { class: null, runs: null, replaces: task.replaces ?? null, ...place, uuid, seconds, clicks, ...answer };
    this.queue.add(full);
    dropDraft(task, this.queue.me);
    this.past.push({ task: { ...task, replaced: null, painted: null }, answer: full });
    this.past = this.past.slice(-BACK);
    this.#next();
  }

  // Commands.

  classKey(id) {
    if (!this.task) return;
    this.chosen = id;
    if (this.tool === "whole" && !this.labels.painted) return this.#hand({ kind: "class", class: id });
    if (this.tool === "cells") this.act();
    this.dispatchEvent(new Event("change"));
  }

  choose(id) {
    this.chosen = id;
    this.dispatchEvent(new Event("change"));
  }

  // Paints no class from now on; the cell under the cursor at once, as a class key does.
  erase() {
    if (!this.task) return;
    this.chosen = UNKNOWN;
    if (this.tool === "whole") this.brush();
    else if (this.tool === "cells") this.act();
    else this.#changed();
  }

  accept() {
    if (!this.task) return;
    if (this.scene.cursor?.points?.length) return this.#closePolygon();
    if (!this.labels.painted) {
      const { suggestion } = this.task;
      if (suggestion === null || this.task.role === "third") return this.tell("choose a class");
      return this.#hand({ kind: "class", class: suggestion });
    }
    const { left } = this.labels;
    if (left && !this.warned) {
      this.warned = true;
      const name = this.classes[this.chosen]?.name;
      const more = name ? `, Shift+F paints them ${name}` : "";
      return this.tell(`${left} pixels have no class: Enter again leaves them unknown${more}`);
    }
    return this.#hand({ kind: "mask", runs: this.labels.runs });
  }

  refuse() {
    if (this.task) this.#hand({ kind: "refused" });
  }

  unsure() {
    if (this.task) this.#hand({ kind: "unsure" });
  }

  takeOne() {
    this.#takeGiven(0);
  }

  takeOther() {
    this.#takeGiven(1);
  }

  #takeGiven(which) {
    const given = this.task?.given?.[which];
    if (given) this.#hand({ kind: given.kind, class: given.class, runs: given.runs });
  }

  back() {
    const last = this.past.pop();
    if (!last) return this.tell("there is no former answer");
    if (this.task) this.tasks.unshift({ ...this.task, painted: this.labels.painted ? this.labels.runs : null });
    const given = last.answer;
    const painted = given.kind === "mask" ? given.runs : null;
    const decides = last.task.role === "third" && given.kind === "unsure"; // still to replace what counts
    const replaces = decides ? last.task.replaces : given.uuid;
    this.#lay({ ...last.task, replaces, replaced: last, painted });
    if (given.kind === "class") this.chosen = given.class;
    this.tell(`your answer was ${this.#named(given)}; Escape leaves it as it is`);
    this.#changed();
  }

  #named(given) {
    const kinds = { mask: "painted", refused: "nothing to label", unsure: "unsure" };
    return kinds[given.kind] ?? this.classes[given.class].name;
  }

  async finer() {
    await this.#divide(Math.min(this.level + 1, 2));
  }

  async coarser() {
    await this.#divide(Math.max(this.level - 1, 0));
  }

  async #divide(level) {
    const { task, scene } = this;
    if (!task || level === this.level) return;
    if (level) {
      const path = `/api/cells/${task.request}/${task.number}/${task.region}/${level}`;
      try {
        const told = await persistently(() => get(path), (words) => this.tell(words, "trouble"));
        if (scene !== this.scene) return;
        scene.cells = this.#cells(told);
        scene.cursor = { cell: 0 };
      } catch (error) {
        return this.tell(error.message, "trouble");
      }
    } else {
      [scene.cells, scene.cursor] = [null, null];
    }
    this.level = level;
    this.tool = level ? "cells" : "whole";
    this.#changed();
  }

  #cells(told) {
    const [, , width, height] = this.task.box;
    const ids = expanded(told.runs, width * height, Int32Array);
    return { ids, list: cellsOf(ids, width) };
  }

  brush() {
    this.#pick("brush", { ...this.#middle(), radius: this.radius });
  }

  polygon() {
    this.#pick("polygon", { ...this.#middle(), points: [] });
  }

  #pick(tool, cursor) {
    if (!this.task) return;
    this.tool = tool;
    this.scene.cursor = cursor;
    this.#changed();
  }

  #middle() {
    const { x = this.labels.width / 2, y = this.labels.height / 2 } = this.scene?.cursor ?? {};
    return { x, y };
  }

  smaller() {
    this.#size(1 / 1.3);
  }

  larger() {
    this.#size(1.3);
  }

  #size(factor) {
    this.radius = Math.min(Math.max(this.radius * factor, 0.5), 200);
    if (this.tool === "brush") this.scene.cursor.radius = this.radius;
    this.picture.draw();
  }

  leave() {
    if (!this.task) return;
    if (this.tool !== "whole") {
      this.tool = this.scene.cells && this.tool !== "cells" ? "cells" : "whole";
      this.scene.cursor = this.tool === "cells" ? { cell: 0 } : null;
      if (this.tool === "whole") [this.scene.cells, this.level] = [null, 0];
      return this.#changed();
    }
    if (!this.task.replaced) return;
    dropDraft(this.task, this.queue.me);
    this.past.push(this.task.replaced);
    this.#next();
  }

  // Paints at the cursor, or sets a polygon's corner.
  act() {
    if (!this.task) return;
    const { cursor, cells } = this.scene;
    if (this.tool === "cells" && cells) this.labels.paint(cells.list[cursor.cell].pixels, this.chosen);
    if (this.tool === "brush") this.labels.paint(stroke(this.labels, cursor, cursor, this.radius), this.chosen);
    if (this.tool === "polygon") cursor.points.push({ x: cursor.x, y: cursor.y });
    this.#touched();
  }

  #touched() {
    this.warned = false;
    this.#changed();
    if (!this.labels.stroke) keepDraft(this.task, this.labels, this.queue.me);
  }

  #closePolygon() {
    const { points } = this.scene.cursor;
    if (points.length > 2) this.labels.paint(polygon(this.labels, points), this.chosen);
    this.scene.cursor.points = [];
    this.#touched();
  }

  fillRest() {
    if (!this.task) return;
    this.labels.fill(this.chosen);
    this.#touched();
  }

  undo() {
    if (!this.task) return;
    if (this.scene.cursor?.points?.pop()) return this.picture.draw();
    if (this.labels.undo()) this.#touched();
    else this.back();
  }

  redo() {
    if (this.task && this.labels.redo()) this.#touched();
  }

  arrow([dx, dy], far) {
    if (!this.task) return;
    const { cursor, cells } = this.scene;
    const steps = far ? FAR : 1;
    if (this.tool === "cells") {
      for (let i = 0; i < Math.min(steps, 4); i += 1) cursor.cell = neighbour(cells.list, cursor.cell, dx, dy);
    } else if (cursor) {
      cursor.x = Math.min(Math.max(cursor.x + dx * steps, 0), this.labels.width);
      cursor.y = Math.min(Math.max(cursor.y + dy * steps, 0), this.labels.height);
    } else {
      return this.picture.pan(-dx * 40 * steps, -dy * 40 * steps);
    }
    this.picture.draw();
  }

  // The pointer: at a place of the region's box; pressed while `from` is where it was before.
  point(place, from = null) {
    if (!this.task) return;
    this.#see(place);
    if (this.tool === "whole") return;
    const { cursor, cells } = this.scene;
    if (this.tool === "cells") {
      const cell = this.#cellAt(place);
      if (cell === null) return;
      cursor.cell = cell;
      if (from) this.labels.paint(cells.list[cell].pixels, this.chosen);
    } else {
      [cursor.x, cursor.y] = [place.x, place.y];
      if (from && this.tool === "brush") this.labels.paint(stroke(this.labels, from, place, this.radius), this.chosen);
    }
    if (!from) return this.picture.draw();
    this.#see();
    this.picture.changed();
  }

  // Says which class is painted under the pointer: colours alone do not tell everybody.
  #see(place = this.place) {
    this.place = place;
    const pixel = place ? this.#pixelAt(place) : null;
    const name = pixel === null ? "" : (this.classes[this.labels.values[pixel]]?.name ?? "");
    if (name === this.here) return;
    this.here = name;
    this.dispatchEvent(new Event("here"));
  }

  #pixelAt({ x, y }) {
    const { width, height } = this.labels;
    if (x < 0 || y < 0 || x >= width || y >= height) return null;
    return Math.floor(y) * width + Math.floor(x);
  }

  #cellAt(place) {
    const pixel = this.#pixelAt(place);
    const cell = pixel === null ? -1 : this.scene.cells.ids[pixel];
    return cell < 0 ? null : cell;
  }

  press(place) {
    this.labels.begin();
    this.point(place, place);
    if (this.tool === "polygon") this.scene.cursor.points.push(place);
    this.picture.changed();
  }

  release() {
    this.labels.end();
    this.#touched();
  }

  // What was begun was no stroke: a second finger came.
  cancel() {
    this.labels.cancel();
    this.scene.cursor?.points?.pop();
    this.#touched();
  }
}
