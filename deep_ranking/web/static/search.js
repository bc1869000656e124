/** The page that looks: images in, the images like them out. The address bar holds the whole query. */

import { address, ask, index } from "./parts/api.js";
import { facts } from "./parts/bar.js";
import { card } from "./parts/card.js";
import { showControls } from "./parts/controls.js";
import { at, count, counted, fileName, make, openWhenWide, say } from "./parts/dom.js";
import { folderTree } from "./parts/folders.js";
import { intake, opens, refusal, upload } from "./parts/intake.js";
import { labelFilter } from "./parts/labels.js";
import { look } from "./parts/look.js";
import { emptyIndex, folderGone, noNotice, notice, problem } from "./parts/notice.js";
import { title } from "./parts/picture.js";
import { invite, showQuery, showSending } from "./parts/place.js";
import { addressOf, by, hasQuery, MOST_QUERIES, read, without } from "./parts/query.js";
import { tileSlider } from "./parts/tiles.js";
import { Wall } from "./parts/wall.js";

const MOST = 500; // results that the server gives at once
const TWICE = 220; // ms in which a second click makes a double one

let shown = null; // what the page shows: its queries (none: all images), its heading, its address
let turn = 0; // of what is asked for: answers to what is no longer wanted are passed over
let setLabels = () => {};
let setFolder = () => {};
let scrolled; // the timer after which the place on the page is remembered
let clicked; // the timer of a click that may become a double one
const answers = new Map(); // address -> promise of a result, so that going back is instant

const cardOf = (item, _, sizes) =>
  item.image
    ? card(item.image, sizes, addressOf(by({ image: [item.image.id] })), item, shown?.queries)
    : card(item, sizes, addressOf(by({ image: [item.id] })));
const wall = new Wall(at("wall"), cardOf, { onLook: (position) => lookAt(wall, position) });
const bottomWall = new Wall(at("bottom-wall"), cardOf, { onLook: (position) => lookAt(bottomWall, position) });

function lookAt(where, position) {
  clearTimeout(clicked);
  busy(false);
  look({
    total: where.total,
    at: (i) => where.item(i),
    closed: (i) => where.focus(i),
    queries: shown?.queries ?? [],
    searchBy: (image) => addressOf(by({ image: [image.id] })),
    add: hasQuery(read()) ? (image) => addressOf(added(image.id)) : null,
  }, position);
}

/** The search that is shown, by one more image of the index. */
function added(id) {
  const state = read();
  if (state.path) return by({ image: [shown.queries[0].image.id, id] });
  return { ...state, image: [...new Set([...state.image, String(id)])].slice(-MOST_QUERIES) };
}

/** Go on to another address: a new entry in the history, as a link would make. */
function go(next) {
  remember();
  const before = shown && location.href;
  history.pushState(null, "", next);
  return show(before);
}

/** Keep in the history how far the page was scrolled, for when one comes back. */
function remember() {
  history.replaceState({ scroll: scrollY }, "");
}

/** Dim what is shown while something else is looked for, and say what. */
function busy(wanted) {
  at("found").classList.toggle("looking", Boolean(wanted));
  at("found").setAttribute("aria-busy", String(Boolean(wanted)));
  if (wanted) {
    at("heading").textContent = wanted;
    at("count").textContent = "";
  } else if (shown) {
    at("heading").textContent = shown.heading;
    at("count").textContent = shown.count;
  }
}

/** What a search is after, in words, before its answer is there. */
function wantedBy(state) {
  if (!hasQuery(state)) return state.name ? `Looking for “${state.name}”…` : "Images";
  const many = state.image.length + state.upload.length;
  const known = (id) => [...wall.items, ...bottomWall.items].map((item) => item?.image ?? item).find((image) => String(image?.id) === id);
  const image = many === 1 && state.image.length ? known(state.image[0]) : null;
  const what = many > 1 ? `${many} pictures` : image || state.path ? fileName(image?.path ?? state.path) : "the picture";
  return `Looking for images like ${what}…`;
}

/** Show what the address bar asks for; after a failure, what was shown at `before` stays, if anything was. */
async function show(before = null) {
  const mine = (turn += 1);
  const state = read();
  const again = location.href;
  noNotice();
  busy(wantedBy(state));
  try {
    const about = await index();
    document.body.classList.toggle("flat", !about.folders?.length);
    document.body.classList.toggle("bare", !about.images && !about.uploads);
    controls(state, about);
    if (!about.images) return empty();
    const found = await (hasQuery(state) ? results(state, about) : listed(state));
    if (mine !== turn) return;
    const keep = shown;
    if (about.folder_there === false) folderGone(about);
    (hasQuery(state) ? showResults : showList)(found, state, about);
    // What was clicked may be gone: go on from the results, not from the top of the page.
    if (document.activeElement === document.body && scrollY === 0 && keep) at("heading").focus({ preventScroll: true });
  } catch (error) {
    if (mine === turn) await failed(error, state, before, again);
  }
}

async function failed(error, state, before, again) {
  const all = make("a", { class: "button", href: "./" }, "All images");
  if (before && shown) {
    history.replaceState(history.state, "", before);
    controls(read(), await index());
    busy(false);
    return problem(error, () => go(again), all);
  }
  if (!shown || (error.status === 404 && state.upload.length)) clear();
  busy(false);
  if (error.status === 404 && state.upload.length) return forgotten();
  if (!shown) {
    at("heading").textContent = "Nothing to show";
    invite();
  }
  problem(error, () => show(), all);
}

function controls(state, about) {
  showControls(state, about);
  setLabels(state.label);
  setFolder(state);
}

function clear() {
  shown = null;
  wall.showAll([]);
  bottomWall.showAll([]);
  at("bottom-part").hidden = at("more").hidden = true;
  at("count").textContent = "";
}

function empty() {
  clear();
  busy(false);
  at("heading").textContent = "No images yet";
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

/** A part of the list of images, without a query. */
const page = ({ label, folder, name }, offset, limit) => ask(address("api/images", { label, folder, name, offset, limit }));
const listed = (state) => page(state, 0, 60);

function showList(first, state, about) {
  clear();
  invite();
  tell(state.name ? `Named “${state.name}”` : state.folder ? state.folder : "Images", counted(first.total, "image"));
  document.title = `${about.name} - Deep Ranking`;
  wall.show(first.total, async (offset, limit) => (await page(state, offset, limit)).items, first.items, (error) => problem(error, show));
  scrollTo(0, history.state?.scroll ?? 0);
  if (first.total) return;
  const [what, how] = state.name
    ? ["No image is named so", "The letters are looked for in the whole path. Change them, or take the filters away."]
    : ["No image is there", "The index has no image in this folder with these labels."];
  notice(what, how, { actions: [make("a", { class: "button", href: "./" }, "All images")] });
}

/** The images like the queries. */
function results(state, about) {
  const { name, ...search } = state;
  const where = address("api/search", { ...search, exact: state.exact || !about.approximate, bottom: state.bottom || null });
  if (!answers.has(where)) {
    const promise = ask(where);
    promise.catch(() => answers.delete(where));
    answers.set(where, promise);
    if (answers.size > 50) answers.delete(answers.keys().next().value);
  }
  return answers.get(where);
}

function showResults(found, state, about) {
  const { queries } = found;
  const [{ image }] = queries;
  shown = { queries };
  showQuery(queries, state);
  document.title = `${queries.length > 1 ? `${queries.length} pictures` : image ? title(image) : "Your picture"} - Deep Ranking`;
  wall.showAll(found.results);
  at("bottom-part").hidden = !found.bottom.length;
  bottomWall.showAll(found.bottom);
  scrollTo(0, history.state?.scroll ?? 0);
  const how = about.approximate ? `, ${found.exact ? "exact" : "approximate"}` : ""; // else it cannot differ
  const heading = `Like ${queries.length > 1 ? `these ${queries.length} pictures` : image ? fileName(image.path) : "your picture"}`;
  tell(heading, `${count(found.results.length)} of ${counted(found.total, "image")}, ${found.took_ms.toFixed(1)} ms${how}`, queries);
  const more = Math.min(found.total, MOST, 2 * state.top) - found.results.length;
  at("more").hidden = more <= 0;
  at("more").textContent = `Show ${counted(more, "image")} more`;
  at("more").onclick = () => {
    history.replaceState({ scroll: scrollY }, "", addressOf({ ...state, top: found.results.length + more }));
    show();
  };
  if (!found.results.length) notice("Nothing found", state.label.length || state.folder ? "No other image passes these filters. Take one away." : "The index holds no other image.");
}

function tell(heading, text, queries = []) {
  shown = { queries, heading, count: text };
  busy(false);
  say(text);
}

/** Send pictures and search by them all; they are seen at once. */
async function searchBy(files) {
  const place = () => (shown?.queries.length ? showQuery(shown.queries, read()) : invite());
  try {
    const why = await refusal();
    if (why) return notice("Pictures cannot be sent", why);
    noNotice();
    files = files.slice(0, MOST_QUERIES);
    showSending(files);
    busy(files.length > 1 ? `Looking for images like ${files.length} pictures…` : `Looking for images like ${files[0].name || "your picture"}…`);
    const sent = [];
    for (const file of files) sent.push((await upload(file)).upload);
    await go(addressOf(by({ upload: sent })));
  } catch (error) {
    busy(false);
    await place();
    problem(error);
  }
}

// Links to this page stay in this page.
addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  if (link.origin !== location.origin || link.pathname !== new URL("./", location.href).pathname || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  const href = link.getAttribute("href");
  clearTimeout(clicked);
  if (event.detail > 1) return; // the second click of two: the picture is looked at
  const state = read(link.search);
  if (!event.detail || !link.dataset.image || !hasQuery(state)) return go(href);
  // A double click looks at the picture, so a single one waits a moment, and is answered meanwhile.
  busy(wantedBy(state));
  index().then((about) => results(state, about)).catch(() => {});
  clicked = setTimeout(() => go(href), TWICE);
});
addEventListener("popstate", () => {
  clearTimeout(scrolled); // it would write this place to the entry gone to
  clearTimeout(clicked);
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
let typed;
at("name").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => {
    const next = addressOf({ ...without(read()), name: at("name").value.trim() });
    remember();
    history.replaceState(null, "", next);
    show();
  }, 200);
});
opens(at("choose"), at("file"), searchBy);
opens(at("photograph"), at("camera"), searchBy);
intake({
  onFiles: searchBy,
  onImage: (image, where) => go(addressOf(where?.closest("#query") && hasQuery(read()) ? added(image) : by({ image: [image] }))),
  invitation: "Drop pictures to search by them",
});
tileSlider(at("tile"), [wall, bottomWall]);
openWhenWide(at("options"));

show();
facts().catch(() => {});
index()
  .then(({ labels, folders = [] }) => {
    const there = labels.filter(({ label }) => label);
    setLabels = labelFilter(at("labels"), there, (label) => change({ label }));
    setFolder = folderTree(at("folders"), folders, there);
    setLabels(read().label);
    setFolder(read());
  })
  .catch(() => {});
