// Run lengths as the server tells them, and arrays of a region's box.

export const UNKNOWN = 255;

// Which pixels of a box are the region's: runs of outside and inside in turn, outside first.
export function insideOf(runs, size) {
  const inside = new Uint8Array(size);
  let at = 0;
  runs.forEach((length, i) => {
    if (i % 2) inside.fill(1, at, at + length);
    at += length;
  });
  return inside;
}

// [[value, length], ...] as an array of a kind.
export function expanded(runs, size, Kind = Uint8Array) {
  const values = new Kind(size);
  let at = 0;
  for (const [value, length] of runs) {
    values.fill(value, at, at + length);
    at += length;
  }
  return values;
}

export function runsOf(values) {
  const runs = [];
  for (const value of values) {
    const last = runs[runs.length - 1];
    if (last && last[0] === value) last[1] += 1;
    else runs.push([value, 1]);
  }
  return runs;
}
