// What is painted and not yet handed in, kept for a browser that is closed in mid-stroke.

const KEY = "adeada.draft";

function nameOf(task) {
  return JSON.stringify([task.request, task.image, task.region]);
}

export function keepDraft(task, labels) {
  try {
    if (labels.painted) localStorage.setItem(KEY, JSON.stringify({ of: nameOf(task), runs: labels.runs }));
    else localStorage.removeItem(KEY);
  } catch {
    // A browser that is full keeps the answers rather than the draft.
  }
}

export function draftOf(task) {
  try {
    const draft = JSON.parse(localStorage.getItem(KEY) || "null");
    return draft?.of === nameOf(task) ? draft.runs : null;
  } catch {
    return null;
  }
}

export function dropDraft() {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // There is none.
  }
}
