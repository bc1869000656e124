/**
 * Dots set pixel by pixel into the memory of a canvas.
 *
 * 100,000 circles are slow to draw and fast to copy: a dot is a small stamp of pixels, made once for its size,
 * whatever the graphics card.
 */

/** The pixels of a dot of this radius: how far right, how far down, how opaque of 256. */
function stamp(radius) {
  const pixels = [];
  const reach = Math.ceil(radius);
  for (let down = -reach; down <= reach; down += 1) {
    for (let right = -reach; right <= reach; right += 1) {
      const cover = Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(right, down)));
      if (cover > 0.05) pixels.push([right, down, Math.round(cover * 225)]);
    }
  }
  return pixels;
}

export class Dots {
  /** @param {CanvasRenderingContext2D} pen */
  constructor(pen) {
    this.pen = pen;
  }

  /** Begin a picture of this colour, [red, green, blue]. */
  begin([red, green, blue]) {
    const { width, height } = this.pen.canvas;
    if (this.image?.width !== width || this.image?.height !== height) {
      this.image = this.pen.createImageData(width, height);
      this.memory = new Uint32Array(this.image.data.buffer); // little-endian, as every browser's machine is
    }
    this.memory.fill((255 << 24) | (blue << 16) | (green << 8) | red);
  }

  /** The dots that follow have this radius, in pixels of the canvas. */
  set radius(radius) {
    const { width } = this.image;
    this.stamp = stamp(radius);
    this.reach = Math.ceil(radius);
    this.offsets = Int32Array.from(this.stamp, ([right, down]) => down * width + right);
    this.opaque = Uint16Array.from(this.stamp, ([, , opaque]) => opaque);
  }

  /** Set a dot; one that would stick out of the canvas is left out. */
  dot(left, top, [red, green, blue]) {
    const { width, height } = this.image;
    const [x, y] = [left | 0, top | 0];
    if (x < this.reach || y < this.reach || x >= width - this.reach || y >= height - this.reach) return;
    const { memory, offsets, opaque } = this;
    for (let p = 0, at = y * width + x; p < offsets.length; p += 1) {
      const under = memory[at + offsets[p]];
      const a = opaque[p];
      const mix = (new_, old) => old + (((new_ - old) * a) >> 8);
      memory[at + offsets[p]] = (255 << 24) | (mix(blue, (under >> 16) & 255) << 16) | (mix(green, (under >> 8) & 255) << 8) | mix(red, under & 255);
    }
  }

  /** Show the picture. */
  end() {
    this.pen.putImageData(this.image, 0, 0);
  }
}
