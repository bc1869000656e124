/** The place of the query at the side: the picture that is searched by, or how to give one. */

import { at, make } from "./dom.js";
import { limit, refusal } from "./intake.js";
import { words } from "./notice.js";
import { picture, title, uploadedPicture } from "./picture.js";
import { addressOf, by } from "./query.js";

/** Show what was searched by. */
export function showQuery({ image, upload }) {
  fill(image ? picture(image, "(min-width: 960px) 320px, 128px", `Query: ${title(image)}`) : uploadedPicture(upload));
  at("query-text").replaceChildren(make("strong", {}, image ? (image.label ?? "Query") : "Your picture"), image ? image.path : "kept in memory only, for a while");
  at("clear").href = addressOf(by({}));
  at("clear").hidden = at("only-with-query").hidden = false;
}

/** Show a picture while it is sent. */
export function showSending(file) {
  const preview = make("img", { src: URL.createObjectURL(file), alt: "The picture being sent" });
  preview.addEventListener("load", () => URL.revokeObjectURL(preview.src));
  fill(preview);
  at("query-text").replaceChildren("Looking…");
}

function fill(picture) {
  at("query-well").classList.add("filled");
  at("query-well").replaceChildren(picture);
}

/** Say how a query is given, or why only the images of the index can be one. */
export async function invite() {
  at("query-well").classList.remove("filled");
  at("clear").hidden = at("only-with-query").hidden = true;
  const [why, most] = await Promise.all([refusal(), limit()]).catch(() => [null, ""]);
  at("query-well").textContent = why ? "Click an image to search by it" : "Drop or paste a picture anywhere";
  at("query-text").replaceChildren(...words(why ?? `Search by a picture of your own, or click any image. ${most}`));
}
