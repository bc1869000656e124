/** The page that looks: an image in, the images like it out. The address bar holds the whole query. */

import { address, ask, index } from "./parts/api.js";
import { facts } from "./parts/bar.js";
import { card } from "./parts/card.js";
import { showControls } from "./parts/controls.js";
import { at, count, counted, fileName, make, openWhenWide, say } from "./parts/dom.js";
import { intake, opens, refusal, upload } from "./parts/intake.js";
import { labelFilter } from "./parts/labels.js";
import { emptyIndex, noNotice, notice, problem } from "./parts/notice.js";
import { title } from "./parts/picture.js";
import { invite, showQuery, showSending } from "./parts/place.js";
import { addressOf, by, read } from "./parts/query.js";
import { Wall } from "./parts/wall.js";

const MOST = 500; // results that the server gives at once

let query = null; // what the shown results were searched by
let running = new AbortController();
let setLabels = () => {};
let shown = false; // something was shown before
let scrolled; // the timer after which the place on the page is remembered
const answers = new Map(); // address -> result, so that going back is instant

const cardOf = (item, _, sizes) =>
  item.image
    ? card(item.image, sizes, addressOf(by({ image: item.image.id })), item, query)
    : card(item, sizes, addressOf(by({ image: item.id })));
const wall = new Wall(at("wall"), cardOf);
const bottomWall = new Wall(at("bottom-wall"), cardOf);

/** Go on to another address: a new entry in the history, as a link would make. */
function go(next) {
  remember();
  history.pushState(null, "", next);
  scrollTo(0, 0);
  return show();
}

/** Keep in the history how far the page was scrolled, for when one comes back. */
function remember() {
  history.replaceState({ scroll: scrollY }, "");
}

/** Show what the address bar asks for. */
async function show() {
  running.abort();
  running = new AbortController();
  const state = read();
  noNotice();
  try {
    const about = await index();
    showControls(state, about);
    setLabels(state.label);
    if (!about.images) return empty();
    if (state.image || state.upload || state.path) await search(state, about);
    else await browse(state, about);
    if (history.state) scrollTo(0, history.state.scroll);
    // What was clicked may be gone: go on from the results, not from the top of the page.
    if (document.activeElement === document.body && scrollY === 0 && shown) at("heading").focus({ preventScroll: true });
    shown = true;
  } catch (error) {
    if (error.name === "AbortError") return;
    clear();
    if (error.status === 404 && state.upload) forgotten();
    else problem(error, show, make("a", { class: "button", href: "./" }, "All images"));
  }
}

function clear() {
  wall.showAll([]);
  bottomWall.showAll([]);
  at("bottom-part").hidden = at("more").hidden = true;
  at("count").textContent = "";
}

function empty() {
  clear();
  invite();
  emptyIndex();
}

function forgotten() {
  at("heading").textContent = "This picture is gone";
  document.title = "Deep Ranking";
  invite();
  notice("The server no longer has this picture", "Pictures that you send are kept in memory, and for a while only. Choose or drop the file again.", {
    actions: [make("button", { type: "button", class: "button first", click: () => at("file").click() }, "Choose a file")],
  });
}

/** Without a query: the images of the index. */
async function browse(state, about) {
  const path = (offset, limit) => address("api/images", { label: state.label, offset, limit });
  const first = await ask(path(0, 60), { signal: running.signal });
  query = null;
  clear();
  invite();
  at("heading").textContent = "Images";
  document.title = `${about.name} - Deep Ranking`;
  tell(counted(first.total, "image"));
  wall.show(first.total, async (offset, limit) => (await ask(path(offset, limit))).items, first.items, (error) => problem(error, show));
}

/** With a query: the images like it. */
async function search(state, about) {
  const where = address("api/search", { ...state, exact: state.exact || !about.approximate, bottom: state.bottom || null });
  const found = answers.get(where) ?? (await ask(where, { signal: running.signal }));
  answers.set(where, found);
  if (answers.size > 50) answers.delete(answers.keys().next().value);
  query = found.query;
  showQuery(query);
  at("heading").textContent = `Like ${query.image ? fileName(query.image.path) : "your picture"}`;
  document.title = `${query.image ? title(query.image) : "Your picture"} - Deep Ranking`;
  wall.showAll(found.results);
  at("bottom-part").hidden = !found.bottom.length;
  bottomWall.showAll(found.bottom);
  tell(`${count(found.results.length)} of ${counted(found.total, "image")}, ${found.took_ms.toFixed(1)} ms, ${found.exact ? "exact" : "approximate"}`);
  const more = Math.min(found.total, MOST, 2 * state.top) - found.results.length;
  at("more").hidden = more <= 0;
  at("more").textContent = `Show ${counted(more, "image")} more`;
  at("more").onclick = () => {
    history.replaceState({ scroll: scrollY }, "", addressOf({ ...state, top: found.results.length + more }));
    show();
  };
  if (!found.results.length) notice("Nothing found", state.label.length ? "No other image has these labels. Take a label away." : "The index holds no other image.");
}

function tell(text) {
  at("count").textContent = text;
  say(text);
}

/** Send a picture and search by it; it is seen at once. */
async function searchBy(file) {
  try {
    const why = await refusal();
    if (why) return notice("Pictures cannot be sent", why);
    noNotice();
    showSending(file);
    await go(addressOf(by({ upload: (await upload(file)).upload })));
  } catch (error) {
    await invite();
    problem(error);
  }
}

// Links to this page stay in this page.
addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.pathname !== new URL("./", location.href).pathname || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("popstate", () => {
  clearTimeout(scrolled); // it would write this place to the entry gone to
  show();
});
addEventListener("scroll", () => {
  clearTimeout(scrolled);
  scrolled = setTimeout(remember, 200);
}, { passive: true });
history.scrollRestoration = "manual";

const change = (changed) => go(addressOf({ ...read(), ...changed }));
at("top").addEventListener("change", () => change({ top: Number(at("top").value) }));
at("bottom").addEventListener("change", () => change({ bottom: Number(at("bottom").value) }));
at("exact").addEventListener("change", () => change({ exact: at("exact").checked }));
opens(at("choose"), at("file"), searchBy);
opens(at("photograph"), at("camera"), searchBy);
intake({ onFile: searchBy, onImage: (image) => change(by({ image })), invitation: "Drop the picture to search by it" });
openWhenWide(at("options"));

show();
facts().catch(() => {});
index()
  .then(({ labels }) => {
    setLabels = labelFilter(at("labels"), labels.filter(({ label }) => label), (label) => change({ label }));
    setLabels(read().label);
  })
  .catch(() => {});
