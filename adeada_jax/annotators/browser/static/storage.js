// The browser's storage; where that is forbidden or full, what lasts as long as the page.

const memory = new Map();

function lasting(use) {
  try {
    return use(localStorage);
  } catch {
    return undefined;
  }
}

export const storage = {
  get: (key) => memory.get(key) ?? lasting((kept) => kept.getItem(key)) ?? null,
  set(key, value) {
    memory.set(key, value);
    lasting((kept) => {
      kept.setItem(key, value);
      memory.delete(key);
    });
  },
  remove(key) {
    memory.delete(key);
    lasting((kept) => kept.removeItem(key));
  },
  keys: (prefix) =>
    [...new Set([...(lasting((kept) => Object.keys(kept)) ?? []), ...memory.keys()])].filter((key) => key.startsWith(prefix)),
  // Whether closing the page would lose something.
  fleeting: (prefix) => [...memory.keys()].some((key) => key.startsWith(prefix)),
};
