// The photograph with the region in it. Two canvases lie on each other: the photograph, which the style makes
// brighter, and what is drawn over it. Both are drawn once a frame, and only if something changed.

const DIM = [0, 0, 0, 150];
const PAINTED_ALPHA = 140;
const MOST_ZOOM = 40;
const FRAMES = 600;

export class Picture {
  constructor(photo, over, frames) {
    Object.assign(this, { photo, over, frames });
    this.view = { scale: 1, x: 0, y: 0 };
    this.light = { brightness: 1, contrast: 1 };
    this.plain = false; // nothing but the photograph
    this.scene = null;
    this.waiting = false;
    new ResizeObserver(() => this.#resize()).observe(photo.parentElement);
    this.#resize();
  }

  // A region: its task, bitmap, labels and colours, and what else is to be seen.
  show(scene) {
    this.scene = scene;
    if (scene) this.#prepare();
    this.fit();
  }

  // The scene's labels, cells or cursor changed.
  changed() {
    if (this.scene) this.#tint();
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const start = performance.now();
      this.#draw();
      this.frames.push(performance.now() - start);
      if (this.frames.length > FRAMES) this.frames.shift();
    });
  }

  fit() {
    if (!this.scene) return this.draw();
    const [left, top, width, height] = this.scene.task.box;
    const scale = Math.min(this.width / (width * 1.9), this.height / (height * 1.9), MOST_ZOOM);
    this.#look(scale, left + width / 2, top + height / 2);
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const { scale } = this.view;
    const next = Math.min(Math.max(scale * factor, 0.01), MOST_ZOOM);
    this.view.x = x - ((x - this.view.x) * next) / scale;
    this.view.y = y - ((y - this.view.y) * next) / scale;
    this.view.scale = next;
    this.draw();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.draw();
  }

  // A point of the page as a point of the region's box, in pixels of the photograph.
  place(clientX, clientY) {
    const bounds = this.over.getBoundingClientRect();
    const [left, top] = this.scene.task.box;
    return {
      x: (clientX - bounds.left - this.view.x) / this.view.scale - left,
      y: (clientY - bounds.top - this.view.y) / this.view.scale - top,
    };
  }

  lighten(brightness, contrast) {
    this.light.brightness = Math.min(Math.max(brightness, 0.2), 20);
    this.light.contrast = Math.min(Math.max(contrast, 0.2), 5);
    this.photo.style.filter = `brightness(${this.light.brightness}) contrast(${this.light.contrast})`;
  }

  // Makes the region's surroundings as bright as a photograph by day.
  lightenBySurroundings() {
    const [left, top, width, height] = this.scene.task.box;
    const small = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
    const area = [left - width / 2, top - height / 2, width * 2, height * 2];
    small.drawImage(this.scene.bitmap, ...area, 0, 0, 64, 64);
    const { data } = small.getImageData(0, 0, 64, 64);
    const grey = [];
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3]) grey.push(0.3 * data[i] + 0.6 * data[i + 1] + 0.1 * data[i + 2]);
    }
    grey.sort((one, other) => one - other);
    const high = grey[Math.floor(grey.length * 0.9)] || 1;
    this.lighten(200 / Math.max(high, 4), 1);
  }

  #look(scale, x, y) {
    this.view = { scale, x: this.width / 2 - x * scale, y: this.height / 2 - y * scale };
    this.draw();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.photo.parentElement;
    this.ratio = devicePixelRatio || 1;
    [this.width, this.height] = [Math.max(clientWidth, 1), Math.max(clientHeight, 1)];
    for (const canvas of [this.photo, this.over]) {
      canvas.width = Math.round(this.width * this.ratio);
      canvas.height = Math.round(this.height * this.ratio);
    }
    this.fit();
  }

  // What does not change while a region is labelled: the dimmed surroundings and the outline.
  #prepare() {
    const { task, labels } = this.scene;
    const [, , width, height] = task.box;
    this.dim = layer(width, height, (i) => (labels.inside[i] ? null : DIM));
    this.outline = outlineOf((x, y) => labels.inside[y * width + x], width, height);
    this.#tint();
  }

  // The painted pixels in their classes' colours, and the cells' borders.
  #tint() {
    const { task, labels, colors, cells } = this.scene;
    const [, , width, height] = task.box;
    this.paint = layer(width, height, (i) => {
      const color = colors[labels.values[i]];
      return color ? [...color, PAINTED_ALPHA] : null;
    });
    if (cells && this.bordered !== cells) {
      this.borders = outlineOf((x, y) => cells.ids[y * width + x] + 1, width, height);
    }
    this.bordered = cells;
  }

  #draw() {
    const photo = this.photo.getContext("2d");
    const over = this.over.getContext("2d");
    for (const context of [photo, over]) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this.photo.width, this.photo.height);
    }
    if (!this.scene) return;
    this.#drawPhoto(photo);
    if (!this.plain) this.#drawOver(over);
  }

  // Only the part of the photograph that is seen.
  #drawPhoto(context) {
    const { bitmap } = this.scene;
    if (!bitmap?.width) return;
    const { scale, x, y } = this.view;
    const left = Math.max(0, Math.floor(-x / scale));
    const top = Math.max(0, Math.floor(-y / scale));
    const right = Math.min(bitmap.width, Math.ceil((this.width - x) / scale));
    const bottom = Math.min(bitmap.height, Math.ceil((this.height - y) / scale));
    if (right <= left || bottom <= top) return;
    this.#place(context);
    context.imageSmoothingEnabled = scale < 4;
    const part = [left, top, right - left, bottom - top];
    context.drawImage(bitmap, ...part, ...part);
  }

  #place(context, dx = 0, dy = 0) {
    const { scale, x, y } = this.view;
    const ratio = this.ratio;
    context.setTransform(scale * ratio, 0, 0, scale * ratio, (x + dx * scale) * ratio, (y + dy * scale) * ratio);
  }

  // A place of the page in whole pixels of the canvas.
  #pixel(at) {
    return Math.round(at * this.ratio);
  }

  #drawOver(context) {
    const [left, top, width, height] = this.scene.task.box;
    const [imageWidth, imageHeight] = this.scene.task.size;
    const { scale, x, y } = this.view;
    // At whole pixels of the screen, so that no seams are seen.
    const [west, boxLeft, boxRight, east] = [0, left, left + width, imageWidth].map((at) => this.#pixel(x + at * scale));
    const [north, boxTop, boxBottom, south] = [0, top, top + height, imageHeight].map((at) => this.#pixel(y + at * scale));
    context.fillStyle = `rgba(0, 0, 0, ${DIM[3] / 255})`;
    context.fillRect(west, north, east - west, boxTop - north);
    context.fillRect(west, boxBottom, east - west, south - boxBottom);
    context.fillRect(west, boxTop, boxLeft - west, boxBottom - boxTop);
    context.fillRect(boxRight, boxTop, east - boxRight, boxBottom - boxTop);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.dim, boxLeft, boxTop, boxRight - boxLeft, boxBottom - boxTop);
    this.#place(context, left, top);
    context.drawImage(this.paint, 0, 0);
    if (this.scene.cells) this.#line(context, this.borders, 0.6);
    this.#line(context, this.outline, 1.6);
    this.#drawCursor(context);
  }

  // A white line in a black one: seen on any ground, by any eyes.
  #line(context, path, width) {
    context.lineJoin = "round";
    for (const [color, factor] of [["#000", 2.2], ["#fff", 1]]) {
      context.strokeStyle = color;
      context.lineWidth = (width * factor) / this.view.scale;
      context.stroke(path);
    }
  }

  #drawCursor(context) {
    const { cursor } = this.scene;
    if (!cursor) return;
    const path = new Path2D();
    if (cursor.cell !== undefined && this.scene.cells) {
      const { ids } = this.scene.cells;
      const [, , width, height] = this.scene.task.box;
      if (this.cellOf !== cursor.cell || this.cellsOf !== ids) {
        this.cell = outlineOf((x, y) => ids[y * width + x] === cursor.cell, width, height);
        [this.cellOf, this.cellsOf] = [cursor.cell, ids];
      }
      this.#line(context, this.cell, 2.4);
    }
    if (cursor.radius) path.arc(cursor.x, cursor.y, cursor.radius, 0, 7);
    if (cursor.points) {
      for (const point of [...cursor.points, cursor]) path.lineTo(point.x, point.y);
      const size = 5 / this.view.scale;
      path.moveTo(cursor.x - size, cursor.y);
      path.lineTo(cursor.x + size, cursor.y);
      path.moveTo(cursor.x, cursor.y - size);
      path.lineTo(cursor.x, cursor.y + size);
    }
    this.#line(context, path, 1.2);
  }
}

// A canvas of the box with a colour a pixel, or none.
function layer(width, height, colorOf) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    const color = colorOf(i);
    if (color) image.data.set(color, 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// The sides of pixels between which a value changes, as long lines.
export function outlineOf(valueAt, width, height) {
  const path = new Path2D();
  const value = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : Number(valueAt(x, y)));
  for (let y = 0; y <= height; y += 1) {
    lines(width, (x) => value(x, y) !== value(x, y - 1), (from, to) => {
      path.moveTo(from, y);
      path.lineTo(to, y);
    });
  }
  for (let x = 0; x <= width; x += 1) {
    lines(height, (y) => value(x, y) !== value(x - 1, y), (from, to) => {
      path.moveTo(x, from);
      path.lineTo(x, to);
    });
  }
  return path;
}

function lines(length, differs, draw) {
  let from = -1;
  for (let at = 0; at <= length; at += 1) {
    const here = at < length && differs(at);
    if (here && from < 0) from = at;
    if (!here && from >= 0) {
      draw(from, at);
      from = -1;
    }
  }
}
