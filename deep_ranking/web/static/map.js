/** The page that shows the whole index as a map. */

import { address, ask, index } from "./parts/api.js";
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

const REACH = 18; // px from the pointer to the dot it means

async function start() {
  try {
    const about = await index();
    if (!about.images) {
      at("atlas").hidden = at("in-view").hidden = true;
      return emptyIndex();
    }
    at("method").textContent = "Laying out the map…";
    open(await ask("api/map"));
  } catch (error) {
    at("atlas").hidden = at("in-view").hidden = true;
    problem(error, () => location.reload());
  }
}

function open({ method, labels, ...map }) {
  const canvas = at("canvas");
  const points = new Points(map);
  const view = new View(4 * Math.sqrt(points.size + 1), () => changed());
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
  at("method").textContent = `${method}. Near means similar; distances across the map mean little.`;
  legend(atlas, labels, points);
  say(`Map of ${counted(points.size, "image")}`);
}

start();
facts().catch(() => {});
