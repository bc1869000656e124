/** What a card of the grid shows of an image. */

import { address } from "./api.js";
import { fileName, icon, make, spoken } from "./dom.js";
import { DRAGGED } from "./intake.js";
import { picture, title } from "./picture.js";

/**
 * A card that searches by its image when clicked.
 *
 * @param {object} image
 * @param {string} sizes
 * @param {{rank: number, distance: number}=} hit where the image came from, if from a search
 * @param {{image: ?object, upload: ?string}=} query what was searched by
 */
export function card(image, sizes, href, hit = null, query = null) {
  const name = title(image);
  const link = make(
    "a",
    { class: "well", href, title: image.path, "aria-label": hit ? `${hit.rank}. ${name}, distance ${spoken(hit.distance)}. Search by it` : `${name}. Search by it`, "data-image": image.id },
    picture(image, sizes, ""),
  );
  link.addEventListener("dragstart", (event) => event.dataTransfer.setData(DRAGGED, image.id));
  const other = query?.upload ? `upload:${query.upload}` : query?.image?.id;
  const compare = make(
    "a",
    { class: "with", href: address("compare", other === undefined ? { a: image.id } : { a: other, b: image.id }), title: other === undefined ? "Compare with…" : "Compare with the query", "aria-label": `Compare ${name} with ${other === undefined ? "another" : "the query"}` },
    icon("compare"),
  );
  return [link, compare, caption(image, hit, query)];
}

/** The lines under a picture. */
export function caption(image, hit = null, query = null) {
  const same = query?.image?.label && query.image.label === image.label;
  const label = make("span", { class: same ? "label same" : "label" }, same ? `✓ ${image.label}` : image.label ?? fileName(image.path));
  const first = make("div", { class: "line" }, label);
  const second = make("div", { class: "line" }, make("span", { class: "name", title: image.path }, image.label || !hit ? fileName(image.path) : ""));
  if (hit) {
    first.append(make("span", { class: "distance" }, spoken(hit.distance)));
    second.append(make("span", { class: "rank" }, `#${hit.rank}`));
  }
  return make("div", { class: "caption", "aria-hidden": "true" }, first, second);
}
