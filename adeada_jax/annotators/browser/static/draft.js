// What is painted and not yet handed in, kept for a browser that is closed in mid-stroke: of each person and region.

import { storage } from "./storage.js";

function keyOf(task, me) {
  return `adeada.draft.${JSON.stringify([me, task.request, task.image, task.region])}`;
}

export function keepDraft(task, labels, me) {
  if (labels.painted) storage.set(keyOf(task, me), JSON.stringify(labels.runs));
  else dropDraft(task, me);
}

export function draftOf(task, me) {
  return JSON.parse(storage.get(keyOf(task, me)) ?? "null");
}

export function dropDraft(task, me) {
  storage.remove(keyOf(task, me));
}
