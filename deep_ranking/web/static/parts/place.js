/** The place of the query at the side: the pictures that are searched by, or how to give one. */

import { at, icon, make, path } from "./dom.js";
import { limit, refusal } from "./intake.js";
import { words } from "./notice.js";
import { picture, title, uploadedPicture } from "./picture.js";
import { addressOf, by } from "./query.js";

const pictured = ({ image, upload }, sizes) => (image ? picture(image, sizes, `Query: ${title(image)}`) : uploadedPicture(upload));

/** Show what was searched by. */
export function showQuery(queries, state) {
  const [{ image }] = queries;
  const several = queries.length > 1;
  if (several) fill(queries.map((query, i) => member(query, state, i)));
  else fill([pictured(queries[0], "(min-width: 960px) 320px, 128px")]);
  const name = several ? `${queries.length} pictures` : image ? (image.label ?? "Query") : "Your picture";
  const more = several ? "Found is what lies nearest to their middle." : image ? path(image.path) : "kept in memory only, for a while";
  at("query-text").replaceChildren(make("strong", {}, name), more);
  at("clear").href = addressOf(by({}));
  at("clear").hidden = several;
  at("only-with-query").hidden = false;
}

/** One of several pictures, and the way to take it away. */
function member(query, state, i) {
  const left = { ...state };
  if (query.image) left.image = state.image.filter((id) => id !== String(query.image.id));
  else left.upload = state.upload.filter((name) => name !== query.upload);
  return make("a", { class: "member", href: addressOf(left), "aria-label": `Take away picture ${i + 1}`, title: "Take away" }, pictured(query, "160px"), icon("close"));
}

/** Show pictures while they are sent. */
export function showSending(files) {
  fill(files.map((file) => {
    const preview = make("img", { src: URL.createObjectURL(file), alt: "The picture being sent" });
    preview.addEventListener("load", () => URL.revokeObjectURL(preview.src));
    return preview;
  }));
  at("query-text").replaceChildren("Looking…");
}

function fill(pictures) {
  at("query-well").classList.add("filled");
  at("query-well").classList.toggle("several", pictures.length > 1);
  at("query-well").replaceChildren(...pictures);
}

/** Say how a query is given, or why only the images of the index can be one. */
export async function invite() {
  at("query-well").classList.remove("filled", "several");
  at("clear").hidden = at("only-with-query").hidden = true;
  const [why, most] = await Promise.all([refusal(), limit()]).catch(() => [null, ""]);
  at("query-well").textContent = why ? "Click an image to search by it" : "Drop or paste pictures anywhere";
  at("query-text").replaceChildren(...words(why ?? `Search by pictures of your own, or click any image. ${most}`));
}
