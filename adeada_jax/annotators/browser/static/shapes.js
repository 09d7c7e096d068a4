// Pixels of a box under a tool, with hard edges: a pixel belongs to a shape if its centre does.

export function disc(labels, x, y, radius) {
  const found = [];
  const top = Math.max(0, Math.floor(y - radius));
  const bottom = Math.min(labels.height - 1, Math.ceil(y + radius));
  for (let row = top; row <= bottom; row += 1) {
    const reach = radius ** 2 - (row + 0.5 - y) ** 2;
    if (reach < 0) continue;
    const left = Math.max(0, Math.ceil(x - Math.sqrt(reach) - 0.5));
    const right = Math.min(labels.width - 1, Math.floor(x + Math.sqrt(reach) - 0.5));
    for (let column = left; column <= right; column += 1) found.push(row * labels.width + column);
  }
  return found;
}

// A stroke from one point to another.
export function stroke(labels, from, to, radius) {
  const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(radius / 2, 0.5)));
  const found = new Set();
  for (let step = 0; step <= steps; step += 1) {
    const share = step / steps;
    const x = from.x + share * (to.x - from.x);
    const y = from.y + share * (to.y - from.y);
    for (const i of disc(labels, x, y, radius)) found.add(i);
  }
  return found;
}

export function polygon(labels, points) {
  const found = [];
  for (let row = 0; row < labels.height; row += 1) {
    const crossings = crossed(points, row + 0.5);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const left = Math.max(0, Math.ceil(crossings[i] - 0.5));
      const right = Math.min(labels.width - 1, Math.ceil(crossings[i + 1] - 0.5) - 1);
      for (let column = left; column <= right; column += 1) found.push(row * labels.width + column);
    }
  }
  return found;
}

// Where a row's centre line crosses a polygon's sides, from left to right.
function crossed(points, y) {
  const found = [];
  points.forEach((one, i) => {
    const other = points[(i + 1) % points.length];
    if (one.y <= y === other.y <= y) return;
    found.push(one.x + ((y - one.y) / (other.y - one.y)) * (other.x - one.x));
  });
  return found.sort((a, b) => a - b);
}

// The cells of a region: each one's pixels and centre.
export function cellsOf(ids, width) {
  const cells = [];
  ids.forEach((id, i) => {
    if (id < 0) return;
    const cell = (cells[id] ??= { pixels: [], x: 0, y: 0 });
    cell.pixels.push(i);
    cell.x += (i % width) + 0.5;
    cell.y += Math.floor(i / width) + 0.5;
  });
  for (const cell of cells) {
    cell.x /= cell.pixels.length;
    cell.y /= cell.pixels.length;
  }
  return cells;
}

// The cell that lies next to another in a direction; the same where there is none.
export function neighbour(cells, from, dx, dy) {
  const here = cells[from];
  let best = from;
  let least = Infinity;
  cells.forEach((cell, id) => {
    const along = (cell.x - here.x) * dx + (cell.y - here.y) * dy;
    const across = Math.abs((cell.x - here.x) * dy - (cell.y - here.y) * dx);
    if (id === from || along <= 0.1 || along < across / 2) return;
    const cost = along + 2 * across;
    if (cost < least) [best, least] = [id, cost];
  });
  return best;
}
