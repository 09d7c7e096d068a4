// Answers that the server has not acknowledged: each is an entry of localStorage, so that closing the page,
// several tabs, or a server that is away lose none.

import { Trouble, pause, post, whoAsks } from "./server.js";
import { storage } from "./storage.js";

const PREFIX = "adeada.answer.";
const AT_ONCE = 20;

function nameOf({ token, name }) {
  return JSON.stringify([token, name]);
}

// A person's answers go by the link that is valid now, also those that were given by a former one.
function senderOf({ who, me }, present) {
  return me && me === present ? whoAsks() : who;
}

export class Queue extends EventTarget {
  requests = null; // that the server asks, once it said so: answers to others are another run's, and stay here
  me = null; // whom the server takes the person at the page for
  #turn = 0; // among the people whose answers lie here, after one whom the server does not know
  #running = false;
  #alone = false; // one answer at a time, after a body that was too large
  trouble = "";

  add(answer) {
    const entry = { who: whoAsks(), me: this.me, time: Date.now(), answer };
    storage.set(PREFIX + answer.uuid, JSON.stringify(entry));
    this.#changed();
    this.send();
  }

  get length() {
    return this.#entries().length;
  }

  // Answers to another run, which lie here until its page is opened at this address.
  get foreign() {
    return this.#all().length - this.length;
  }

  // Who is at the page, and what the server asks.
  meet({ me, requests }) {
    [this.me, this.requests] = [me, requests];
    this.send();
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
    if (this.#running || !this.requests) return;
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
    const names = entries.map((entry) => nameOf(senderOf(entry, this.me)));
    const people = [...new Set([...this.#present(names), ...names])];
    const name = people[this.#turn % people.length];
    const same = entries.filter((_, i) => names[i] === name);
    this.sender = senderOf(same[0], this.me);
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
  #present(names) {
    const name = nameOf(whoAsks());
    return names.includes(name) ? [name] : [];
  }

  #fail(error) {
    if (error.status === 413) this.#alone = true;
    this.trouble = error.message;
    if (error.status !== 401) return;
    this.#turn += 1;
    if (nameOf(this.sender) === nameOf(whoAsks())) this.dispatchEvent(new CustomEvent("stranger", { detail: error }));
  }

  #all() {
    const found = storage.keys(PREFIX).map((key) => JSON.parse(storage.get(key)));
    return found.filter(Boolean).sort((one, other) => one.time - other.time);
  }

  #entries() {
    return this.#all().filter(({ answer }) => this.requests?.includes(answer.request) ?? true);
  }

  #remove(uuid) {
    storage.remove(PREFIX + uuid);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
