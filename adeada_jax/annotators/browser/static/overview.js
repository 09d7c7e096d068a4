// The whole image with all regions that are asked of it, the present one marked.

import { bitmapOf } from "./images.js";
import { get, persistently } from "./server.js";

const FILLS = { open: "rgba(255, 255, 255, 0.45)", mine: "rgba(0, 0, 0, 0.55)", done: "rgba(0, 0, 0, 0.55)" };

export async function drawOverview(canvas, task, filter) {
  const path = `/api/shapes/${task.request}/${task.number}`;
  const [bitmap, told] = await Promise.all([
    bitmapOf(task.request, task.number),
    persistently(() => get(path)),
  ]);
  const [width, height] = task.size;
  const room = canvas.parentElement;
  const scale = Math.min(room.clientWidth / width, (innerHeight * 0.7) / height, 4) || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.filter = filter;
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  for (const region of told.regions) shade(context, region, scale);
  mark(context, task.box, scale);
}

// A region row by row; rows that lie within one line of the screen are left out.
function shade(context, region, scale) {
  const [left, top, width] = region.box;
  context.fillStyle = FILLS[region.state];
  const step = Math.max(1, Math.floor(1 / scale));
  let at = 0;
  region.runs.forEach((length, i) => {
    if (i % 2) rows(at, at + length, width, (row, from, to) => {
      if (row % step) return;
      const [west, east, north, south] = [left + from, left + to, top + row, top + row + step].map((at) => Math.round(at * scale));
      context.fillRect(west, north, east - west, south - north);
    });
    at += length;
  });
}

function rows(from, to, width, draw) {
  for (let at = from; at < to; ) {
    const row = Math.floor(at / width);
    const end = Math.min(to, (row + 1) * width);
    draw(row, at - row * width, end - row * width);
    at = end;
  }
}

function mark(context, [left, top, width, height], scale) {
  for (const [color, line] of [["#000", 6], ["#fff", 2]]) {
    context.strokeStyle = color;
    context.lineWidth = line;
    context.strokeRect(left * scale, top * scale, Math.max(width * scale, 4), Math.max(height * scale, 4));
  }
}
