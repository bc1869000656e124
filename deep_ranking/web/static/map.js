/** The page that shows the whole index as a map. */

import { address, ask, index, Problem } from "./parts/api.js";
import { Atlas } from "./parts/atlas.js";
import { facts } from "./parts/bar.js";
import { card } from "./parts/card.js";
import { at, counted, say } from "./parts/dom.js";
import { legend } from "./parts/legend.js";
import { emptyIndex, problem } from "./parts/notice.js";
import { Points } from "./parts/points.js";
import { tipFor } from "./parts/tip.js";
import { gestures, View } from "./parts/view.js";
import { Wall } from "./parts/wall.js";

const AGAIN = 1500; // ms between two looks at a map that is being computed
const REACH = 18; // px from the pointer to the dot it means

async function start() {
  try {
    const about = await index();
    if (!about.images) {
      at("atlas").hidden = at("in-view").hidden = true;
      return emptyIndex();
    }
    at("method").textContent = "Laying out the map…";
    say("Laying out the map…");
    const found = await laidOut();
    grow(open(found), found);
  } catch (error) {
    at("atlas").hidden = at("in-view").hidden = true;
    problem(error, () => location.reload());
  }
}

/** The map as soon as there is one. */
async function laidOut(wait = 200) {
  const found = await ask("api/map");
  if (found.ids.length) return found;
  if (found.done) throw new Problem(500, "The map cannot be laid out", found.problem ?? "Try again.");
  await new Promise((resolve) => setTimeout(resolve, wait));
  return laidOut(Math.min(AGAIN, 2 * wait));
}

/** Ask for better places until they are the best, and put the points there. */
async function grow(put, { done, ids }) {
  if (done !== false) return;
  await new Promise((resolve) => setTimeout(resolve, AGAIN));
  const found = await ask("api/map").catch(() => null);
  if (!found) return;
  if (found.ids.length === ids.length) put(found); // else the index has changed: a new visit shows it
  grow(put, found);
}

/** What tells the points apart by colour: their labels, or where there is but one, the clusters that were found. */
function kinds({ labels, label, clusters, cluster }) {
  if (labels.length > 1 || !clusters) return { names: labels, of: label, examples: [] };
  return { names: clusters.map(({ name }, i) => name ?? `cluster ${i + 1}`), of: cluster, examples: clusters.map(({ image }) => image) };
}

const CAPTIONS = {
  neighbours: "Laid out by neighbours: near means similar; distances across the map mean little.",
  PCA: "The two directions in which the images differ most (PCA): far apart means different, but near need not mean similar.",
};

function open(map) {
  const canvas = at("canvas");
  const { names: labels, of: label, examples } = kinds(map);
  let points = new Points({ ...map, label });
  const view = new View(2 * Math.sqrt(points.size + 1), () => changed());
  const atlas = new Atlas(canvas, points, view, labels);
  const tip = tipFor(atlas);
  const wall = new Wall(at("in-view-wall"), (image, _, sizes) => card(image, sizes, address("./", { image: image.id })));
  let keyed = false; // the map is moved by keys: the image in the middle is meant
  let settled;

  function changed() {
    atlas.soon();
    tip.hide();
    clearTimeout(settled);
    settled = setTimeout(settle, 150);
  }

  function settle() {
    at("in-view-heading").textContent = `${counted(atlas.seen, "image")} in view, as a list`;
    if (keyed) {
      const middle = points.nearest(view.x, view.y);
      const [left, top] = view.toScreen(points.x[middle], points.y[middle]);
      at("cross").style.transform = `translate(${left}px, ${top}px)`;
      tip.show(middle, left, top, true);
    }
    if (at("in-view").open) list();
    if (!atlas.seen && points.size) toNearest(); // never a void
  }

  function toNearest() {
    const i = points.nearest(view.x, view.y);
    view.glide(points.x[i], points.y[i], view.scale);
  }

  function list() {
    const ids = [];
    atlas.inView((i) => ids.push(points.ids[i]));
    const load = async (offset, limit) => (await ask(address("api/images", { id: ids.slice(offset, offset + limit), limit }))).items;
    wall.show(ids.length, load, [], problem);
  }

  new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = at("sheet");
    const ratio = Math.min(devicePixelRatio, 2);
    Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    view.resize(width, height);
    atlas.draw(); // at once: a canvas that changes its size is blank
  }).observe(at("sheet"));

  const pointed = (left, top) => points.nearest(...view.toMap(left, top), REACH / view.scale);
  const hover = (left, top) => {
    const i = pointed(left, top);
    canvas.classList.toggle("over", i >= 0);
    if (i < 0) return tip.hide();
    tip.show(i, ...view.toScreen(points.x[i], points.y[i]));
  };
  gestures(canvas, view, (left, top, touch) => {
    const i = pointed(left, top);
    if (i < 0) return tip.hide();
    if (touch) tip.show(i, left, top, true, true);
    else location.assign(address("./", { image: points.ids[i] }));
  }, hover);
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && !keyed && tip.hide());
  canvas.addEventListener("pointerdown", () => byKeys(false));

  function byKeys(now) {
    keyed = now;
    at("cross").hidden = !now;
    if (!now) tip.hide();
    else settle();
  }
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && byKeys(true));
  canvas.addEventListener("blur", () => keyed && byKeys(false));
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = Math.min(view.width, view.height) / 8;
    const whole = () => view.glide(0.5, 0.5, view.least);
    const zoom = (factor) => view.glide(view.x, view.y, view.scale * factor);
    const act = {
      ArrowLeft: () => view.pan(step, 0), ArrowRight: () => view.pan(-step, 0),
      ArrowUp: () => view.pan(0, step), ArrowDown: () => view.pan(0, -step),
      "+": () => zoom(1.6), "=": () => zoom(1.6), "-": () => zoom(1 / 1.6), 0: whole, Home: whole, Escape: () => byKeys(false),
      Enter: () => location.assign(address("./", { image: points.ids[points.nearest(view.x, view.y)] })),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    if (event.key !== "Escape") keyed = !(at("cross").hidden = false);
    act();
  });
  at("zoom-in").addEventListener("click", () => view.glide(view.x, view.y, view.scale * 2));
  at("zoom-out").addEventListener("click", () => view.glide(view.x, view.y, view.scale / 2));
  at("zoom-fit").addEventListener("click", () => view.glide(0.5, 0.5, view.least));
  at("in-view").addEventListener("toggle", () => at("in-view").open && list());
  const caption = ({ method, done }) => (at("method").textContent = `${CAPTIONS[method] ?? method}${done === false ? " A layout by neighbours is being computed; the dots move as it comes." : ""}`);
  caption(map);
  legend(atlas, labels, points, examples);
  say(`Map of ${counted(points.size, "image")}`);
  return (found) => {
    points = atlas.points = new Points({ ...found, label });
    caption(found);
    changed();
  };
}

start();
facts().catch(() => {});
