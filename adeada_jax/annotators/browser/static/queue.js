// Answers that the server has not acknowledged: each is an entry of localStorage, so that closing the page,
// several tabs, or a server that is away lose none.

import { Trouble, pause, post, whoAsks } from "./server.js";
import { storage } from "./storage.js";

const PREFIX = "adeada.answer.";
const AT_ONCE = 20;

function nameOf({ token, name }) {
  return JSON.stringify([token, name]);
}

export class Queue extends EventTarget {
  #turn = 0; // among the people whose answers lie here, after one whom the server does not know
  #running = false;
  #alone = false; // one answer at a time, after a body that was too large
  trouble = "";

  add(answer) {
    const entry = { who: whoAsks(), time: Date.now(), answer };
    storage.set(PREFIX + answer.uuid, JSON.stringify(entry));
    this.#changed();
    this.send();
  }

  get length() {
    return this.#keys().length;
  }

  // Whether closing the page now would lose something.
  get fleeting() {
    return storage.fleeting(PREFIX);
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
    const people = [...new Set([...this.#present(entries), ...entries.map(({ who }) => nameOf(who))])];
    const name = people[this.#turn % people.length];
    const same = entries.filter(({ who }) => nameOf(who) === name);
    this.sender = same[0].who;
    const answers = same.slice(0, this.#alone ? 1 : AT_ONCE).map((entry) => entry.answer);
    const told = await post("/api/answers", { answers }, this.sender);
    this.#turn = 0;
    for (const uuid of told.stored) this.#remove(uuid);
    for (const { uuid, error } of told.refused) {
      this.#remove(uuid);
      this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    }
    if (!told.stored.length && !told.refused.length) throw new Trouble("the server took no answer", 0);
    this.#changed();
  }

  // Whoever is at the page goes first.
  #present(entries) {
    const name = nameOf(whoAsks());
    return entries.some(({ who }) => nameOf(who) === name) ? [name] : [];
  }

  #fail(error) {
    if (error.status === 413) this.#alone = true;
    this.trouble = error.message;
    if (error.status !== 401) return;
    this.#turn += 1;
    if (nameOf(this.sender) === nameOf(whoAsks())) this.dispatchEvent(new CustomEvent("stranger", { detail: error.message }));
  }

  #keys() {
    return storage.keys(PREFIX);
  }

  #entries() {
    const found = this.#keys().map((key) => JSON.parse(storage.get(key)));
    return found.filter(Boolean).sort((one, other) => one.time - other.time);
  }

  #remove(uuid) {
    storage.remove(PREFIX + uuid);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
