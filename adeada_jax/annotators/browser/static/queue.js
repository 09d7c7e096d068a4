// Answers that the server has not acknowledged: each is an entry of localStorage, so that closing the page,
// several tabs, or a server that is away lose none.

import { Trouble, pause, post, whoAsks } from "./server.js";

const PREFIX = "adeada.answer.";
const AT_ONCE = 20;

export class Queue extends EventTarget {
  #memory = new Map(); // where the browser keeps nothing
  #running = false;
  #alone = false; // one answer at a time, after a body that was too large
  trouble = "";

  add(answer) {
    const entry = { who: whoAsks(), time: Date.now(), answer };
    try {
      localStorage.setItem(PREFIX + answer.uuid, JSON.stringify(entry));
    } catch {
      this.#memory.set(PREFIX + answer.uuid, entry);
    }
    this.#changed();
    this.send();
  }

  get length() {
    return this.#keys().length;
  }

  // Whether closing the page now would lose something.
  get fleeting() {
    return this.#memory.size > 0;
  }

  // Regions of a request whose answers wait: the server takes them for open as yet.
  regionsOf(request) {
    const answers = this.#entries().map((entry) => entry.answer);
    return answers.filter((answer) => answer.request === request).map(({ image, region }) => [image, region]);
  }

  async send() {
    if (this.#running) return;
    this.#running = true;
    for (let wait = 300; this.length; ) {
      try {
        await this.#sendSome();
        [this.trouble, wait] = ["", 300];
      } catch (error) {
        this.#fail(error);
        wait = Math.min(wait * 2, 8000);
        this.#changed();
        await pause(wait);
      }
    }
    this.#running = false;
    this.#changed();
  }

  async #sendSome() {
    const entries = this.#entries();
    const who = entries[0].who;
    const same = entries.filter((entry) => entry.who.token === who.token && entry.who.name === who.name);
    const answers = same.slice(0, this.#alone ? 1 : AT_ONCE).map((entry) => entry.answer);
    const told = await post("/api/answers", { answers }, who);
    for (const uuid of told.stored) this.#remove(uuid);
    for (const { uuid, error } of told.refused) {
      this.#remove(uuid);
      this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    }
    if (!told.stored.length && !told.refused.length) throw new Trouble("the server took no answer", 0);
    this.#changed();
  }

  #fail(error) {
    if (error.status === 413) this.#alone = true;
    this.trouble = error.message;
    if (error.status === 401) this.dispatchEvent(new CustomEvent("stranger", { detail: error.message }));
  }

  #keys() {
    const kept = [];
    for (let i = 0; i < localStorage.length; i += 1) {
      const key = localStorage.key(i);
      if (key.startsWith(PREFIX)) kept.push(key);
    }
    return [...kept, ...this.#memory.keys()];
  }

  #entries() {
    const found = this.#keys().map((key) => this.#memory.get(key) ?? JSON.parse(localStorage.getItem(key)));
    return found.filter(Boolean).sort((one, other) => one.time - other.time);
  }

  #remove(uuid) {
    localStorage.removeItem(PREFIX + uuid);
    this.#memory.delete(PREFIX + uuid);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
