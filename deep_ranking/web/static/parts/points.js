/** Points in the unit square, found by place. */

const SIDE = 256; // cells along a side: 100,000 points are a handful a cell

/** The points in a grid of cells, those of a cell next to each other. */
export class Points {
  /** @param {{ids: number[], x: number[], y: number[], label: number[]}} map places within 0..1 */
  constructor({ ids, x, y, label }) {
    Object.assign(this, { ids, label, size: ids.length, x: Float32Array.from(x), y: Float32Array.from(y) });
    const cell = Uint32Array.from(ids, (_, i) => this.cell(this.x[i], this.y[i]));
    this.starts = new Uint32Array(SIDE * SIDE + 1);
    for (const c of cell) this.starts[c + 1] += 1;
    for (let c = 0; c < SIDE * SIDE; c += 1) this.starts[c + 1] += this.starts[c];
    const free = this.starts.slice();
    this.order = new Uint32Array(this.size);
    for (let i = 0; i < this.size; i += 1) this.order[free[cell[i]]++] = i;
  }

  cell(x, y) {
    return row(y) * SIDE + row(x);
  }

  /** Call `visit(i)` for each point in a rectangle. */
  within(left, top, right, bottom, visit) {
    for (let r = row(top); r <= row(bottom); r += 1) {
      for (let at = this.starts[r * SIDE + row(left)], end = this.starts[r * SIDE + row(right) + 1]; at < end; at += 1) {
        const i = this.order[at];
        if (this.x[i] >= left && this.x[i] <= right && this.y[i] >= top && this.y[i] <= bottom) visit(i);
      }
    }
  }

  /** The point nearest to a place and not farther than `reach`, or -1. */
  nearest(x, y, reach = 2) {
    // First close by; few places have nothing near, and those look farther.
    for (let radius = Math.min(reach, 2 / SIDE); ; radius = Math.min(reach, radius * 4)) {
      let [best, least] = [-1, radius * radius];
      this.within(x - radius, y - radius, x + radius, y + radius, (i) => {
        const far = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
        if (far <= least) [best, least] = [i, far];
      });
      if (best >= 0 || radius >= reach) return best;
    }
  }
}

const row = (value) => Math.max(0, Math.min(SIDE - 1, Math.floor(value * SIDE)));
