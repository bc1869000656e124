/** A picture, large: the file itself where the browser shows it, what is known of it, and what to do with it. */

import { address, ask, index } from "./api.js";
import { at, count, fileName, make, say, spoken } from "./dom.js";
import { showMarks } from "./marks.js";
import { thumbnail, title } from "./picture.js";

const SMALL = 320; // px of the thumbnail that is there at once

let list; // what is gone through
let position = 0;
let turn = 0;

/**
 * Open the picture at a position of a list.
 *
 * @param {object} of `total`; `at(i)` promises an image or a hit; `closed(i)` hears which was looked at last; `queries`
 *   that they were found by; `searchBy(image)` is an address; `add(image)` is one too, or null
 */
export function look(of, start) {
  list = of;
  if (!at("look").open) at("look").showModal();
  return step(start);
}

async function step(to) {
  if (to < 0 || to >= list.total) return;
  const mine = (turn += 1);
  position = to;
  at("look-before").disabled = to === 0;
  at("look-after").disabled = to === list.total - 1;
  const item = await list.at(to);
  if (mine !== turn || !item) return;
  const image = item.image ?? item;
  at("look-name").textContent = fileName(image.path);
  at("look-place").textContent = `${count(to + 1)} of ${count(list.total)}`;
  say(`${title(image)}, ${count(to + 1)} of ${count(list.total)}`);
  actions(image);
  showMarks(list.queries, image);
  showSmall(image);
  facts(image, item);
  const [about, known] = await Promise.all([index(), ask(`api/images/${image.id}`)]).catch(() => []);
  if (mine !== turn || !known) return;
  facts(known, item, about);
  if (known.width) await show(image, mine);
  else {
    at("look-place").textContent += "; its file is gone, has changed or cannot be read";
    at("look-image").classList.add("whole"); // the drawing in its place
  }
}

/** The thumbnail, at once. */
function showSmall(image) {
  const shown = at("look-image");
  shown.classList.remove("whole");
  // A thumbnail stands in for a larger file, so it is blown up; one that is smaller than asked for is as large as its file.
  shown.onload = () => shown.classList.toggle("whole", shown.src !== stand || Math.max(shown.naturalWidth, shown.naturalHeight) < SMALL);
  Object.assign(shown, { src: thumbnail(image.id, SMALL), alt: title(image) });
  const stand = shown.src;
}

/** The file; of one that no browser shows, a large preview. */
async function show(image, mine) {
  for (const src of [`api/images/${image.id}/file`, thumbnail(image.id, 1600)]) {
    const whole = new Image();
    whole.src = src;
    try {
      await whole.decode();
    } catch {
      continue;
    }
    if (mine === turn) at("look-image").src = src;
    return;
  }
}

function facts(image, { distance, rank }, about = null) {
  const path = about?.folder ? `${about.folder}/${image.path}` : image.path;
  const rows = [
    ["Label", image.label],
    ["Distance", distance === undefined ? null : `${spoken(distance)}, rank ${rank}`],
    ["Pixels", image.width ? `${count(image.width)} × ${count(image.height)}` : null],
    ["Size", image.bytes ? `${count(Math.ceil(image.bytes / 1000))} kB` : null],
    ["Changed", image.modified ? new Date(1000 * image.modified).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : null],
    ["Path", path],
  ];
  at("look-facts").replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  at("look-copy").onclick = () => copy(path);
  at("look-copy").textContent = "Copy the path";
}

async function copy(path) {
  try {
    await navigator.clipboard.writeText(path);
    at("look-copy").textContent = "Copied";
    say("The path is copied");
  } catch {
    getSelection().selectAllChildren(at("look-facts").lastElementChild.lastElementChild); // to copy by hand
    at("look-copy").textContent = "Selected: press Ctrl+C";
  }
}

function actions(image) {
  const [query] = list.queries;
  const other = query?.upload ? `upload:${query.upload}` : query?.image?.id;
  at("look-search").href = list.searchBy(image);
  at("look-compare").href = address("compare", other === undefined ? { a: image.id } : { a: other, b: image.id });
  at("look-compare").textContent = other === undefined ? "Compare with…" : "Compare with the query";
  at("look-add").hidden = !list.add;
  if (list.add) at("look-add").href = list.add(image);
}

const dialog = at("look");
dialog.addEventListener("close", () => {
  turn += 1;
  at("look-image").removeAttribute("src");
  list.closed?.(position);
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("#look-search, #look-add")) dialog.close();
});
dialog.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const to = { ArrowLeft: position - 1, ArrowUp: position - 1, ArrowRight: position + 1, ArrowDown: position + 1, Home: 0, End: list.total - 1 }[event.key];
  if (to !== undefined) step(to);
  else if (event.key === " " && !event.target.matches("button, a")) dialog.close();
  else return;
  event.preventDefault();
});
at("look-before").addEventListener("click", () => step(position - 1));
at("look-after").addEventListener("click", () => step(position + 1));
at("look-close").addEventListener("click", () => dialog.close());
