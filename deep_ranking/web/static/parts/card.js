/** What a card of the grid shows of an image. */

import { address } from "./api.js";
import { fileName, folderOf, icon, make, spoken } from "./dom.js";
import { DRAGGED } from "./intake.js";
import { picture, title } from "./picture.js";

/**
 * A card that searches by its image when clicked.
 *
 * @param {object} image
 * @param {string} sizes
 * @param {{rank: number, distance: number}=} hit where the image came from, if from a search
 * @param {{image: ?object, upload: ?string}[]} queries what was searched by
 */
export function card(image, sizes, href, hit = null, queries = []) {
  const [query = null] = queries;
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
  const peek = make("button", { type: "button", class: "with peek", title: "Look at it (Space)", "aria-label": `Look at ${name}` }, icon("look"));
  return [link, peek, compare, caption(image, hit, queries)];
}

/** The lines under a picture. */
export function caption(image, hit = null, queries = []) {
  const same = image.label && queries.length && queries.every((query) => query.image?.label === image.label);
  const label = make("span", { class: same ? "label same" : "label" }, same ? `✓ ${image.label}` : image.label ?? fileName(image.path));
  const first = make("div", { class: "line" }, label);
  const below = image.label ? fileName(image.path) : folderOf(image.path); // the file name once
  const second = make("div", { class: "line" }, ...(below ? [make("span", { class: "name", title: image.path }, below)] : []));
  if (hit) {
    first.append(make("span", { class: "distance" }, spoken(hit.distance)));
    const rank = make("span", { class: "rank" }, `#${hit.rank}`);
    if (below) second.append(rank);
    else first.prepend(rank);
  }
  return make("div", { class: "caption", "aria-hidden": "true" }, first, second);
}
