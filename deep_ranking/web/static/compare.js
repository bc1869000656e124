/** The page that compares two images. The address bar holds both: ?a=12&b=upload:9f3c. */

import { address, ask, index } from "./parts/api.js";
import { facts } from "./parts/bar.js";
import { at, count, icon, make, path, say, spoken } from "./parts/dom.js";
import { histogram } from "./parts/histogram.js";
import { intake, opens, refusal, upload } from "./parts/intake.js";
import { emptyIndex, noNotice, notice, problem } from "./parts/notice.js";
import { pick } from "./parts/picker.js";
import { picture, title, uploadedPicture } from "./parts/picture.js";

const SIDES = ["a", "b"];
let asking = "a"; // the side that a chosen file is for
let turn = 0; // of what is compared: an answer to what is no longer shown is passed over
let drawn = () => {}; // draws the histogram as wide as its place

function read() {
  const words = new URLSearchParams(location.search);
  return Object.fromEntries(SIDES.map((side) => [side, words.get(side) || null]));
}

function go(changed) {
  history.pushState(null, "", address("compare", { ...read(), ...changed }));
  return show();
}

/** Show what the address bar asks for. */
async function show() {
  const state = read();
  noNotice();
  turn += 1;
  at("verdict").hidden = true;
  drawn = () => {};
  at("histogram").replaceChildren();
  at("histogram-caption").textContent = "";
  try {
    const about = await index();
    const why = await refusal();
    let missing = null;
    for (const side of SIDES) {
      await slot(side, state[side], why).catch((error) => {
        missing = error;
        return slot(side, null, why); // so that another can be chosen
      });
    }
    if (missing) throw missing;
    at("swap").disabled = !state.a && !state.b;
    if (!about.images && !about.uploads) return emptyIndex();
    if (state.a && state.b) await verdict(state);
    else if (about.images) say(state.a || state.b ? "Choose the other image" : "Choose two images");
  } catch (error) {
    if (error.status === 404 && /upload:/.test(location.search)) {
      notice("The server no longer has this picture", "Pictures that you send are kept in memory, and for a while only. Choose or drop the file again.");
    } else problem(error, show);
  }
}

/** Show one of the two images, and the ways to choose another. */
async function slot(side, wanted, why) {
  const well = make("div", { class: "well" });
  const about = make("p", { class: "about muted" });
  if (wanted?.startsWith("upload:")) {
    well.append(uploadedPicture(wanted.slice("upload:".length)));
    about.append(make("strong", {}, "Your picture"), "kept in memory only, for a while");
  } else if (wanted) {
    const image = await ask(`api/images/${encodeURIComponent(wanted)}`);
    well.append(make("a", { href: address("./", { image: image.id }), title: "Search by it" }, picture(image, "(min-width: 900px) 416px, 50vw", title(image))));
    about.append(make("strong", {}, image.label ?? "Image"), path(image.path));
  } else {
    well.textContent = why ? "Choose an image of the index" : "Drop or paste a picture, or choose one";
  }
  well.classList.toggle("filled", Boolean(wanted));
  const ordinal = side === "a" ? "first" : "second";
  const fromIndex = make("button", { type: "button", class: "button", "aria-label": `Choose the ${ordinal} image from the index`, click: () => choose(side) }, icon("index"), "Index");
  const file = make("button", { type: "button", class: "button", disabled: why !== null, title: why?.replaceAll("`", ""), "aria-label": `Choose a file as the ${ordinal} image` }, icon("file"), "File");
  file.addEventListener("click", () => {
    asking = side;
    at("file").click();
  });
  at(`slot-${side}`).replaceChildren(well, about, make("div", { class: "ways" }, fromIndex, file));
}

async function choose(side) {
  try {
    const image = await pick();
    if (image) await go({ [side]: image.id });
  } catch (error) {
    problem(error);
  }
}

async function take(side, file) {
  try {
    const why = await refusal();
    if (why) return notice("Pictures cannot be sent", why);
    noNotice();
    const sent = await upload(file);
    await go({ [side]: `upload:${sent.upload}` });
  } catch (error) {
    problem(error);
  }
}

/** Take what was dropped: a second picture is the other one. */
async function takeAll([first, second], where) {
  const side = second ? "a" : sideOf(where);
  await take(side, first);
  if (second) await take("b", second);
}

/** Show the distance at once, and where it lies among those of the index as soon as these are measured. */
async function verdict(state, mine = (turn += 1), wait = 200) {
  const { distance, closer_than: share, histogram: spread } = await ask(address("api/compare", state));
  if (mine !== turn) return;
  at("distance").textContent = spoken(distance);
  at("verdict").hidden = false;
  if (!spread) {
    at("standing").textContent = "The distances of the index's pairs are being measured…";
    await new Promise((resolve) => setTimeout(resolve, wait));
    return mine === turn ? verdict(state, mine, Math.min(2000, 2 * wait)) : undefined;
  }
  const sampled = `${count(spread.pairs)} pairs of images in the index`;
  at("standing").replaceChildren("Closer than ", ...standing(share, spread.pairs), ".");
  drawn = () => at("histogram").replaceChildren(histogram(spread, distance, at("histogram").clientWidth));
  at("histogram-caption").textContent = `The distances of ${sampled}; those nearer than this pair are blue.`;
  drawn();
  say(`Distance ${spoken(distance)}. ${at("standing").textContent}`);
}

/** 0.9921 -> "99.2% of pairs"; where that would say all or none of them and it is not, their number. */
function standing(share, pairs) {
  const text = (100 * share).toFixed(1);
  const strong = (word) => make("strong", {}, word);
  if (text === "100.0" && share < 1) return ["all but ", strong(count(Math.round((1 - share) * pairs))), ` of ${count(pairs)} pairs`];
  if (text === "0.0" && share > 0) return [strong(count(Math.round(share * pairs))), ` of ${count(pairs)} pairs`];
  return [strong(`${text}%`), " of pairs"];
}

/** The side where something was dropped, or the one that is free. */
const sideOf = (where) => where?.closest("[data-slot]")?.dataset.slot ?? (read().a ? "b" : "a");

at("swap").addEventListener("click", () => {
  const { a, b } = read();
  go({ a: b, b: a });
});
opens(make("button"), at("file"), ([file]) => take(asking, file));
intake({ onFiles: takeAll, onImage: (id, where) => go({ [sideOf(where)]: id }), invitation: "Drop the picture on one of the two sides" });
new ResizeObserver(() => drawn()).observe(at("histogram"));
addEventListener("popstate", show);
show();
facts().catch(() => {});
