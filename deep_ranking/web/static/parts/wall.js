/**
 * A grid of any number of cards, of which only those near the window exist.
 *
 * The list is as tall as all its rows, so the scroll bar tells where one is in 100,000 images; what comes into
 * sight is asked for in pages. Arrow keys, Home and End move among the cards.
 */

import { make } from "./dom.js";

const PAGE = 60;
const CALM = 60; // ms: pages that fly past while scrolling are not asked for
const TALLEST = 15e6; // px: browsers place nothing beyond about 17 million

export class Wall {
  /**
   * @param {HTMLUListElement} list
   * @param {(item, position: number, sizes: string) => Node[]} card what a card holds; its first link or button takes the focus
   * @param {Element | Window} scroller what scrolls the list
   * @param {(position: number) => void} onLook wants to see an item large: Space, a double click, its button
   */
  constructor(list, card, { scroller = window, onLook = null } = {}) {
    Object.assign(this, { onLook, list, card, scroller, cells: new Map(), total: 0, items: [], pages: new Set() });
    const soon = () => (this.frame ??= requestAnimationFrame(() => this.render()));
    scroller.addEventListener("scroll", soon, { passive: true });
    new ResizeObserver(() => this.layout()).observe(list);
    list.addEventListener("keydown", (event) => this.key(event));
    if (!onLook) return;
    const positionOf = (event) => Number(event.target.closest("li")?.getAttribute("aria-posinset")) - 1;
    list.addEventListener("dblclick", (event) => event.target.closest("a.well") && onLook(positionOf(event)));
    list.addEventListener("click", (event) => event.target.closest(".peek") && onLook(positionOf(event)));
  }

  /** Show the items of a list. */
  showAll(items) {
    this.show(items.length, null, items);
  }

  /**
   * Show `total` items, of which `load(offset, limit)` promises some, and `items` are there already.
   * `failed(error)` hears of pages that could not be had.
   */
  show(total, load, items = [], failed = () => {}) {
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.pages.clear();
    Object.assign(this, { total, load, failed, items: [...items] });
    this.layout();
  }

  /** Measure; called when the list's width changes. */
  layout() {
    const style = getComputedStyle(this.list);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const length = (name) => parseFloat(style.getPropertyValue(name)) * rem;
    const [width, tile] = [this.list.clientWidth, length("--tile")];
    this.gap = length("--gap");
    if (!width) return; // not shown now
    this.columns = Math.max(1, Math.floor((width + this.gap) / (tile + this.gap)));
    this.side = (width - this.gap * (this.columns - 1)) / this.columns;
    this.list.style.setProperty("--cell", `${this.side}px`);
    for (const img of this.list.querySelectorAll("img")) img.sizes = this.sizes;
    this.pitch = this.side + this.gap + (this.total ? this.caption() : 0);
    this.rows = Math.min(Math.ceil(this.total / this.columns), Math.floor(TALLEST / this.pitch));
    this.list.style.height = `${Math.max(0, this.rows * this.pitch - this.gap)}px`;
    this.render(true);
  }

  get sizes() {
    return `${Math.ceil(this.side)}px`;
  }

  /** How tall the text under a picture is: all captions have the same lines. */
  caption() {
    const [first] = this.cells.values();
    const cell = first ?? this.list.appendChild(this.cell(0));
    const height = cell.offsetHeight - this.side;
    if (!first) cell.remove();
    return height;
  }

  /** Make and place the cells near the window; drop the others, but for the one with the focus. */
  render(moved = false) {
    this.frame = undefined;
    if (!this.pitch) return;
    const top = this.scroller === window ? 0 : this.scroller.getBoundingClientRect().top;
    const height = this.scroller === window ? innerHeight : this.scroller.clientHeight;
    const above = top - this.list.getBoundingClientRect().top;
    const clamp = (row) => Math.max(0, Math.min(this.rows, row));
    const first = clamp(Math.floor((above - height / 2) / this.pitch)) * this.columns;
    const last = Math.min(this.total, clamp(Math.ceil((above + height * 1.5) / this.pitch)) * this.columns);
    for (const [position, cell] of this.cells) {
      if ((position < first || position >= last) && !cell.contains(document.activeElement)) {
        cell.remove();
        this.cells.delete(position);
      }
    }
    for (let position = last - 1; position >= first; position -= 1) this.place(position, moved);
    if (moved) for (const [position, cell] of this.cells) this.move(cell, position);
    this.want(first, last);
  }

  place(position) {
    if (this.cells.has(position)) return;
    const cell = this.cell(position);
    this.move(cell, position);
    // In order, so that Tab and screen readers go as the eye does.
    const after = [...this.cells].filter(([other]) => other > position).sort(([a], [b]) => a - b)[0];
    this.list.insertBefore(cell, after?.[1] ?? null);
    this.cells.set(position, cell);
  }

  move(cell, position) {
    const [row, column] = [Math.floor(position / this.columns), position % this.columns];
    cell.style.transform = `translate(${column * (this.side + this.gap)}px, ${row * this.pitch}px)`;
  }

  cell(position) {
    const item = this.items[position];
    const card = make("li", { class: item ? "card" : "card waiting", "aria-setsize": this.total, "aria-posinset": position + 1 });
    if (item) card.append(...this.card(item, position, this.sizes));
    else card.append(make("div", { class: "well" }), make("div", { class: "caption" }, make("div", { class: "line" }), make("div", { class: "line" })));
    return card;
  }

  /** Ask for the pages of [first, last) that are not there, once scrolling has calmed down. */
  want(first, last) {
    clearTimeout(this.timer);
    const missing = [];
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      if (!this.pages.has(page) && !this.items[Math.max(first, page * PAGE)]) missing.push(page);
    }
    if (missing.length && this.load) this.timer = setTimeout(() => missing.forEach((page) => this.fetch(page)), this.pages.size ? CALM : 0);
  }

  /** The item at a position, fetched if it is not there yet. */
  async item(position) {
    if (!this.items[position] && this.load) await this.fetch(Math.floor(position / PAGE));
    return this.items[position];
  }

  async fetch(page) {
    const { load, pages } = this;
    pages.add(page);
    try {
      const items = await load(page * PAGE, PAGE);
      if (load !== this.load) return; // something else is shown by now
      items.forEach((item, i) => {
        const position = page * PAGE + i;
        this.items[position] = item;
        const waiting = this.cells.get(position);
        if (!waiting) return;
        const cell = this.cell(position);
        this.move(cell, position);
        const focused = waiting.contains(document.activeElement);
        waiting.replaceWith(cell);
        this.cells.set(position, cell);
        if (focused) this.focus(position); // the keyboard goes on from here
      });
    } catch (error) {
      pages.delete(page);
      if (load === this.load) this.failed(error);
    }
  }

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, Home: -Infinity, End: Infinity }[event.key];
    const cell = event.target.closest("li");
    if (event.key === " " && this.onLook && cell && event.target.matches("a.well")) {
      event.preventDefault();
      return this.onLook(Number(cell.getAttribute("aria-posinset")) - 1);
    }
    if (!step || !cell || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const now = Number(cell.getAttribute("aria-posinset")) - 1;
    const last = Math.min(this.total, this.rows * this.columns) - 1;
    const wanted = Number.isFinite(step) ? now + step : step < 0 ? 0 : last;
    if (wanted >= 0 && wanted <= last) this.focus(wanted);
  }

  /** Bring an item into sight and give it the focus. */
  focus(position) {
    this.place(position);
    const cell = this.cells.get(position);
    cell.scrollIntoView({ block: "nearest" });
    const target = cell.querySelector("a, button") ?? cell;
    if (target === cell) cell.tabIndex = -1;
    target.focus({ preventScroll: true });
  }
}
