// Asking the server: every request ends, by an answer or after a while, and says who asks.

import { storage } from "./storage.js";

const PATIENCE_MS = 20000;
const PATIENCE_FOR_IMAGES_MS = 180000;

export class Trouble extends Error {
  constructor(words, status, wants = "") {
    super(words);
    this.status = status; // 0: no answer
    this.wants = wants; // "name" or "link", where the server does not know who asks
  }
}

export const identity = {
  get token() {
    return storage.get("adeada.token") || "";
  },
  set token(value) {
    storage.set("adeada.token", value);
  },
  get name() {
    return storage.get("adeada.name") || "";
  },
  set name(value) {
    storage.set("adeada.name", value);
  },
};

// A link that was given to somebody ends in #token=...; it is kept and taken out of the address. Whether there was one.
export function takeToken() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (!found) return false;
  identity.token = found[1];
  history.replaceState(null, "", location.pathname);
  return true;
}

export function whoAsks() {
  return { token: identity.token, name: identity.name };
}

function headersOf({ token, name }) {
  return token ? { Authorization: `Bearer ${token}` } : { "X-Annotator": encodeURIComponent(name) };
}

async function ask(path, options, who, read, patience = PATIENCE_MS) {
  const control = new AbortController();
  const timer = setTimeout(() => control.abort(), patience);
  try {
    const headers = { ...headersOf(who ?? whoAsks()), ...options.headers };
    const answer = await fetch(path, { ...options, headers, signal: control.signal });
    if (answer.ok) return await read(answer);
    const told = await answer.json().catch(() => ({}));
    throw new Trouble(told.error || `the server answered ${answer.status}`, answer.status, told.wants);
  } catch (error) {
    if (error instanceof Trouble) throw error;
    throw new Trouble("the server does not answer", 0);
  } finally {
    clearTimeout(timer);
  }
}

export function get(path) {
  return ask(path, {}, null, (answer) => answer.json());
}

export function getBlob(path) {
  return ask(path, {}, null, (answer) => answer.blob(), PATIENCE_FOR_IMAGES_MS);
}

export function post(path, body, who = null) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) }, who, (answer) => answer.json());
}

// crypto.randomUUID is for pages by TLS only.
export function newUuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export function pause(ms) {
  return new Promise((resume) => setTimeout(resume, ms));
}

// Asks again until there is an answer that will not change by asking again.
export async function persistently(request, tell = () => {}) {
  for (let wait = 300; ; wait = Math.min(wait * 2, 8000)) {
    try {
      return await request();
    } catch (error) {
      if (error.status >= 400 && error.status < 500) throw error;
      if (error.status === 500) throw error;
      tell(error.message);
      await pause(wait);
    }
  }
}
