/** Which part of the map is seen, and the gestures that change it. */

/** A square of the map on a screen: `scale` pixels a unit, with (x, y) in the middle. */
export class View {
  /**
   * @param {number} closest how many times larger than the whole map it gets
   * @param {() => void} changed
   */
  constructor(closest, changed) {
    Object.assign(this, { x: 0.5, y: 0.5, scale: 1, width: 1, height: 1, closest, changed });
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  /** The screen's size changed; a view of the whole stays one. */
  resize(width, height) {
    const whole = this.scale === 1 || Math.abs(this.scale - this.least) < 1e-6 * this.scale;
    Object.assign(this, { width, height });
    if (whole) Object.assign(this, { x: 0.5, y: 0.5, scale: this.least });
    this.set(this.x, this.y, this.scale);
  }

  /** The scale at which the whole map is seen. */
  get least() {
    return Math.max(1, Math.min(this.width, this.height) - 48);
  }

  set(x, y, scale) {
    const clamp = (value) => Math.max(0, Math.min(1, value));
    Object.assign(this, { x: clamp(x), y: clamp(y), scale: this.bounded(scale) });
    this.changed();
  }

  bounded(scale) {
    return Math.max(this.least, Math.min(this.least * this.closest, scale));
  }

  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  toMap(left, top) {
    return [(left - this.width / 2) / this.scale + this.x, (top - this.height / 2) / this.scale + this.y];
  }

  /** Move by pixels. */
  pan(right, down) {
    cancelAnimationFrame(this.going);
    this.set(this.x - right / this.scale, this.y - down / this.scale, this.scale);
  }

  /** Zoom about a place on the screen, which stays where it is. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    cancelAnimationFrame(this.going);
    const [x, y] = this.toMap(left, top);
    const scale = this.bounded(this.scale * factor);
    this.set(x - (left - this.width / 2) / scale, y - (top - this.height / 2) / scale, scale);
  }

  /** Glide to a place, or be there at once for those who want no motion. */
  glide(x, y, scale) {
    cancelAnimationFrame(this.going);
    scale = this.bounded(scale);
    if (this.still.matches) return this.set(x, y, scale);
    const from = { x: this.x, y: this.y, scale: this.scale };
    const start = performance.now();
    const step = (now) => {
      const part = Math.min(1, (now - start) / 180);
      const eased = 1 - (1 - part) ** 3;
      const between = (a, b) => a + (b - a) * eased;
      this.set(between(from.x, x), between(from.y, y), from.scale * (scale / from.scale) ** eased);
      if (part < 1) this.going = requestAnimationFrame(step);
    };
    this.going = requestAnimationFrame(step);
  }
}

const NEAR = 5; // px: a pointer that moved less has clicked

/**
 * Wheel, drag and pinch on an element.
 *
 * @param {(left: number, top: number, touch: boolean) => void} onClick
 * @param {(left: number, top: number) => void} onHover
 */
export function gestures(element, view, onClick, onHover) {
  const pointers = new Map();
  let moved = 0;
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const spread = () => {
    const [[ax, ay], [bx, by]] = pointers.values();
    return [Math.hypot(ax - bx, ay - by), (ax + bx) / 2, (ay + by) / 2];
  };
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 24 : 1;
    view.zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * (event.ctrlKey ? 0.01 : 0.002)), ...place(event));
  }, { passive: false });
  element.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    element.setPointerCapture(event.pointerId);
    if (!pointers.size) moved = 0;
    pointers.set(event.pointerId, place(event));
  });
  element.addEventListener("pointermove", (event) => {
    const [left, top] = place(event);
    if (!pointers.has(event.pointerId)) return event.pointerType === "mouse" && onHover(left, top);
    const [wasLeft, wasTop] = pointers.get(event.pointerId);
    const before = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, [left, top]);
    moved += Math.hypot(left - wasLeft, top - wasTop);
    if (before) {
      const [apart, x, y] = spread();
      view.pan(x - before[1], y - before[2]);
      view.zoom(apart / Math.max(before[0], 1), x, y);
    } else if (pointers.size === 1 && moved >= NEAR) view.pan(left - wasLeft, top - wasTop);
  });
  element.addEventListener("pointerup", (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (moved < NEAR && !pointers.size) onClick(...place(event), event.pointerType === "touch");
  });
  element.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
}
