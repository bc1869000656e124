/** The picture of the map: dots from afar, thumbnails from near. */

import { Dots } from "./dots.js";
import { channels, palette } from "./palette.js";
import { thumbnail } from "./picture.js";

const THUMB = 88; // px: what a thumbnail needs at least
const KEPT = 800; // thumbnails kept in memory

export class Atlas {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas, points, view, labels) {
    Object.assign(this, { canvas, points, view, labels, chosen: null, seen: 0, shown: new Map(), thumbs: new Map() });
    this.pen = canvas.getContext("2d", { alpha: false });
    this.dots = new Dots(this.pen);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.recolour(dark.matches));
    this.recolour(dark.matches);
    // In mixed order, so that no label lies on top only because it comes last.
    this.mixed = Uint32Array.from({ length: points.size }, (_, i) => (i * 2654435761) % points.size);
    if (new Set(this.mixed).size !== points.size) this.mixed = Uint32Array.from({ length: points.size }, (_, i) => i);
  }

  recolour(dark) {
    this.colours = palette(this.labels.length, dark);
    this.rgb = channels(this.colours);
    const style = getComputedStyle(this.canvas);
    [this.ground, this.faint] = channels([style.getPropertyValue("--paper"), style.getPropertyValue("--line")]);
    this.soon();
  }

  /** Draw at the next frame. */
  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  /** Call `visit(i)` for the points in view. */
  inView(visit) {
    const { view } = this;
    this.points.within(...view.toMap(0, 0), ...view.toMap(view.width, view.height), visit);
  }

  draw() {
    const { points, view, dots, chosen } = this;
    const ratio = this.canvas.width / view.width;
    const [left, top] = [view.toMap(0, 0)[0], view.toMap(0, 0)[1]];
    const scale = view.scale * ratio;
    let seen = 0;
    this.inView(() => (seen += 1));
    this.seen = seen;
    dots.begin(this.ground);
    // Dots grow a little as one comes near, and are small where there are many.
    dots.radius = ratio * Math.max(1.2, Math.min(6, 0.25 * Math.sqrt((view.width * view.height) / (seen + 1))));
    const set = (i) => {
      const label = points.label[i];
      const colour = (chosen !== null && label !== chosen) || !this.rgb[label] ? this.faint : this.rgb[label];
      dots.dot((points.x[i] - left) * scale, (points.y[i] - top) * scale, colour);
    };
    if (seen === points.size) this.mixed.forEach(set);
    else this.inView(set);
    dots.end();
    const near = seen <= (view.width * view.height) / THUMB ** 2;
    if (near && seen) this.drawThumbs(ratio, seen);
    else this.shown.clear();
  }

  /** Thumbnails where they do not overlap; one that is shown stays while the map is moved. */
  drawThumbs(ratio, seen) {
    const { points, view } = this;
    const side = Math.min(160, Math.max(64, 0.75 * Math.sqrt((view.width * view.height) / seen)));
    const waiting = [];
    this.inView((i) => (this.chosen === null || points.label[i] === this.chosen) && waiting.push(i));
    waiting.sort((a, b) => this.shown.has(b) - this.shown.has(a));
    const placed = new Map();
    for (const i of waiting) {
      const [x, y] = view.toScreen(points.x[i], points.y[i]);
      const free = [...placed.values()].every(([left, top]) => Math.max(Math.abs(left - x), Math.abs(top - y)) > side + 4);
      if (free) placed.set(i, [x, y]);
    }
    this.shown = placed;
    for (const [i, [x, y]] of placed) this.drawThumb(i, x * ratio, y * ratio, side * ratio, ratio);
  }

  drawThumb(i, x, y, side, ratio) {
    const image = this.thumb(this.points.ids[i]);
    if (!image.complete || !image.naturalWidth) return;
    const fit = side / Math.max(image.naturalWidth, image.naturalHeight);
    const [width, height] = [image.naturalWidth * fit, image.naturalHeight * fit];
    this.pen.drawImage(image, x - width / 2, y - height / 2, width, height);
    this.pen.strokeStyle = this.colours[this.points.label[i]] ?? "gray";
    this.pen.lineWidth = 2 * ratio;
    this.pen.strokeRect(x - width / 2, y - height / 2, width, height);
  }

  thumb(id) {
    let image = this.thumbs.get(id);
    if (image) this.thumbs.delete(id);
    else {
      image = new Image();
      image.onload = () => this.soon();
      image.src = thumbnail(id, 160);
    }
    this.thumbs.set(id, image); // the last used are at the end
    if (this.thumbs.size > KEPT) this.thumbs.delete(this.thumbs.keys().next().value);
    return image;
  }
}
