/** A dialog in which an image of the index is chosen. */

import { address, ask, index } from "./api.js";
import { caption } from "./card.js";
import { at, make } from "./dom.js";
import { problem } from "./notice.js";
import { picture, title } from "./picture.js";
import { Wall } from "./wall.js";

let wall;
let done = () => {};
let asking = new AbortController(); // of the list that is being fetched, should another be wanted

/** Let the person choose; resolves to an image, or to null when the dialog is closed. */
export async function pick() {
  const dialog = at("picker");
  if (!wall) await prepare(dialog);
  wall.showAll([]); // what was shown the last time
  dialog.showModal();
  fill();
  return new Promise((resolve) => (done = resolve));
}

async function prepare(dialog) {
  const { labels } = await index();
  wall = new Wall(at("picker-wall"), card, { scroller: at("picker-scroll") });
  at("picker-label").append(make("option", { value: "" }, "all"), ...labels.filter(({ label }) => label).map(({ label }) => make("option", { value: label }, label)));
  at("picker-label").addEventListener("change", fill);
  at("picker-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => done(null));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

async function fill() {
  const path = (offset, limit) => address("api/images", { label: at("picker-label").value, offset, limit });
  const failed = (error) => {
    at("picker").close();
    problem(error);
  };
  asking.abort();
  asking = new AbortController();
  try {
    const first = await ask(path(0, 60), { signal: asking.signal });
    wall.show(first.total, async (offset, limit) => (await ask(path(offset, limit))).items, first.items, failed);
    at("picker-scroll").scrollTo(0, 0);
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
  }
}

function card(image, _, sizes) {
  const choose = () => {
    done(image);
    at("picker").close();
  };
  return [make("button", { type: "button", class: "well", "aria-label": title(image), click: choose }, picture(image, sizes, "")), caption(image)];
}
