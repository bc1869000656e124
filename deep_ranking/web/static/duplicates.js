/** The page of near-duplicates: groups side by side, which to keep and why, and the list of it. */

import { address, ask, index } from "./parts/api.js";
import { facts } from "./parts/bar.js";
import { at, count, counted, fileName, make, path, say, spoken } from "./parts/dom.js";
import { look } from "./parts/look.js";
import { emptyIndex, noNotice, notice, problem } from "./parts/notice.js";
import { picture, title } from "./parts/picture.js";

const GROUPS = 20; // asked for at a time
const WAIT = 1000; // ms between two looks whether they are found

let steps = [{ within: null }]; // of the slider: the pixels, then distances
let turn = 0;

const within = () => steps[Number(at("within").value)].within;
const copies = () => within() === null;

/** Show the groups for what the slider says; they may have to be looked for first. */
async function show() {
  const mine = (turn += 1);
  noNotice();
  at("groups").replaceChildren();
  at("more").hidden = at("export").hidden = true;
  try {
    if (!(await index()).images) return emptyIndex();
    for (;;) {
      const found = await ask(address("api/duplicates", { within: within(), limit: GROUPS }));
      if (mine !== turn) return;
      if (found.done) return shown(found);
      at("count").textContent = `Looking at every image… ${Math.round(found.seconds)} s so far; other pages go on meanwhile`;
      await new Promise((resolve) => setTimeout(resolve, WAIT));
      if (mine !== turn) return;
    }
  } catch (error) {
    if (mine === turn) {
      at("count").textContent = "";
      problem(error, show);
    }
  }
}

function shown(found) {
  at("count").textContent = found.problem || !found.total ? "" : `${counted(found.total, "group")} of ${counted(found.images, "image")}${copies() ? `, ${megabytes(found.won)} to win` : ""}`;
  say(at("count").textContent);
  if (found.problem) return notice("The duplicates cannot be found", found.problem, { wrong: true });
  if (found.gone) missing(found);
  else if (!found.total) notice("No duplicates", copies() ? "No image is a copy of another. The slider looks for similar ones." : "No two images are this near. Move the slider further.");
  if (!found.total) return;
  at("export").hidden = false;
  at("export").href = address("api/duplicates/export", { within: within() });
  append(found);
}

/** Pictures that cannot be looked at are not said to be no copies. */
function missing({ gone, total }) {
  const all = total ? "" : " No two of them are equal to the network, and nothing more can be said.";
  notice(`The files of ${counted(gone, "image")} are gone or have changed`, `Copies are told by the pixels, so of these images only those are found that are equal to the network.${all} Bring the files back, or index the folder again with \`deep-ranking index\`.`, { wrong: true });
}

function append({ items, offset, total }) {
  at("groups").append(...items.map((group, i) => groupOf(group, offset + i + 1)));
  at("more").hidden = offset + items.length >= total;
  at("more").onclick = async () => {
    const mine = turn;
    try {
      const next = await ask(address("api/duplicates", { within: within(), limit: GROUPS, offset: offset + items.length }));
      if (mine === turn) append(next);
    } catch (error) {
      problem(error);
    }
  };
}

function groupOf({ images, won }, number) {
  const list = {
    total: images.length,
    at: async (i) => images[i].image,
    queries: [],
    searchBy: (image) => address("./", { image: image.id }),
    add: null,
  };
  const cards = images.map(({ image, keep, why, format, distance }, i) => {
    const facts = [image.width && `${count(image.width)} × ${count(image.height)}`, format, image.bytes && `${count(Math.ceil(image.bytes / 1000))} kB`, image.modified && day(image.modified)];
    const open = () => look({ ...list, closed: (last) => section.querySelectorAll("button.well")[last]?.focus() }, i);
    // By distance they are similar, and some of them may be copies; none is said to be worth keeping.
    const near = keep ? "The others are near this one" : `Distance ${spoken(distance)}${why === "alike" ? "" : `, and a copy: ${why}`}`;
    const verdict = copies() ? (keep ? `✓ Keep: ${why}` : why) : near;
    return make("li", { class: keep && copies() ? "keep" : "copy" },
      make("button", { type: "button", class: "well", "aria-label": `Look at ${title(image)}`, click: open }, picture(image, "320px", "")),
      make("p", { class: "verdict" }, verdict),
      make("p", { title: image.path }, path(image.path)),
      make("p", { class: "muted" }, facts.filter(Boolean).join(", ")));
  });
  const heading = make("h2", {}, `${number}. ${counted(images.length, "image")} `, make("span", {}, copies() ? `${megabytes(won)} to win` : ""));
  const section = make("section", { class: "group", "aria-label": `Group ${number}: ${fileName(images[0]?.image.path ?? "")}` }, heading, make("ul", {}, ...cards));
  return section;
}

const day = (seconds) => new Date(1000 * seconds).toLocaleDateString(undefined, { dateStyle: "medium" });
const megabytes = (bytes) => (bytes < 1e6 ? `${count(Math.ceil(bytes / 1000))} kB` : `${count(Math.round(bytes / 1e6))} MB`);

/** Distances that are worth asking for, for the slider. */
async function offer() {
  const found = await ask("api/duplicates/distances");
  if (!found.done) return setTimeout(() => offer().catch(() => {}), WAIT);
  steps = [{ within: null }, ...found.items];
  at("within").max = steps.length - 1;
  at("within").disabled = steps.length < 2;
}

function tell() {
  const { within: near, share } = steps[Number(at("within").value)];
  at("within-text").textContent = near === null ? "copies, by their pixels" : `within ${near}: ${Math.round(100 * share)}% of images have another so near`;
  at("meaning").textContent = near === null ? "Nothing is ever deleted: the list says which image of each group to keep, and why." : "Each is this near to another of its group: similar to the network, and perhaps no copy at all. Nothing is ever deleted.";
  at("within").setAttribute("aria-valuetext", at("within-text").textContent);
}

at("within").addEventListener("input", tell);
at("within").addEventListener("change", show);
tell();
show();
offer().catch(() => {});
facts().catch(() => {});
