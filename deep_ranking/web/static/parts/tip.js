/** The picture beside a dot of the map. */

import { address, ask } from "./api.js";
import { at, fileName, make, say } from "./dom.js";
import { picture, title } from "./picture.js";

const images = new Map(); // number -> a promise of what is known of the image

/**
 * Show and hide the picture of an atlas's dot.
 *
 * `show(i, left, top, aloud, touched)` shows the i-th point's at a place of the sheet, says it aloud if asked, and after
 * a touch lets it be touched in turn; `hide()` takes it away.
 */
export function tipFor(atlas) {
  const tip = at("tip");
  let wanted = -1;
  const hide = () => {
    tip.hidden = true;
    wanted = -1;
  };
  async function show(i, left, top, aloud = false, touched = false) {
    wanted = i;
    const id = atlas.points.ids[i];
    if (!images.has(id)) images.set(id, ask(`api/images/${id}`).catch(() => null));
    const image = await images.get(id);
    if (wanted !== i || !image) return; // the pointer has moved on
    if (tip.dataset.image !== String(id)) {
      tip.dataset.image = id;
      tip.href = address("./", { image: id });
      const name = fileName(image.path);
      tip.replaceChildren(make("div", { class: "well" }, picture(image, "160px", "")), make("span", { class: "label" }, image.label ?? name), make("span", { class: "muted" }, image.label ? name : ""));
    }
    if (aloud) say(title(image));
    tip.classList.toggle("touched", touched);
    tip.hidden = false;
    const { width, height } = atlas.view;
    const x = left + 16 + tip.offsetWidth < width ? left + 16 : left - 16 - tip.offsetWidth;
    const y = Math.max(8, Math.min(height - tip.offsetHeight - 8, top - tip.offsetHeight / 2));
    tip.style.transform = `translate(${Math.max(8, x)}px, ${y}px)`;
  }
  return { show, hide };
}
