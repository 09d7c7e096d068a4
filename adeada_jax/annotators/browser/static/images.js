// Photographs as they are drawn, the last few kept.

import { getBlob, persistently } from "./server.js";

const KEPT = 6;
const AS_STORED = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
const loading = new Map();

// A promise of an image's bitmap.
export function bitmapOf(request, number) {
  const path = `/api/images/${request}/${number}`;
  const found = loading.get(path) ?? load(path);
  loading.delete(path);
  loading.set(path, found);
  for (const old of [...loading.keys()].slice(0, -KEPT)) {
    loading.get(old).then((bitmap) => bitmap.close(), () => {});
    loading.delete(old);
  }
  return found;
}

async function load(path) {
  try {
    const blob = await persistently(() => getBlob(path));
    return await createImageBitmap(blob, AS_STORED);
  } catch (error) {
    loading.delete(path);
    throw error.status ? error : new Error("this image cannot be shown: it is damaged");
  }
}
