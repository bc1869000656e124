/**
 * "More like this" and "Not similar": marks on the results of a query, and the ratings that follow from them.
 *
 * A mark alone compares nothing. Each pair of the two kinds does: of that query, the one is more similar than the
 * other, and this is kept as an answer, as if it had been asked.
 */

import { send } from "./api.js";
import { at, counted, say } from "./dom.js";

const marks = new Map(); // number of the query -> number of the image -> "more" or "not"
const kept = new Map(); // number of the query -> answers kept

let query;
let image;

/** Show how an image is marked for the query it was found by, if that is one image of the index. */
export function showMarks(queries, shown) {
  query = queries.length === 1 ? queries[0].image : null;
  image = shown;
  at("look-marks").hidden = !query || query.id === image.id;
  told();
}

function told(why = "") {
  if (!query) return;
  const own = marks.get(query.id) ?? new Map();
  for (const kind of ["more", "not"]) at(`look-${kind}`).setAttribute("aria-pressed", String(own.get(image.id) === kind));
  const answers = kept.get(query.id) ?? 0;
  const kinds = new Set(own.values());
  at("look-told").textContent = why || (answers
    ? `${counted(answers, "answer")} kept from these marks; Learn is on the page Rate.`
    : kinds.size ? `Mark one as ${kinds.has("more") ? "not similar" : "more like this"} too: each pair is an answer that search learns from.` : "");
}

async function mark(kind) {
  const own = marks.get(query.id) ?? marks.set(query.id, new Map()).get(query.id);
  if (own.get(image.id) === kind) {
    own.delete(image.id);
    return told();
  }
  own.set(image.id, kind);
  const rater = localStorage.getItem("deep-ranking-rater") || "me";
  const { id } = query;
  try {
    for (const [other, others] of own) {
      if (others === kind) continue;
      const [a, b] = kind === "more" ? [image.id, other] : [other, image.id];
      try {
        await send("api/ratings", { rater, query: id, a, b, answer: "a" });
        kept.set(id, (kept.get(id) ?? 0) + 1);
      } catch (error) {
        if (error.status !== 409) throw error; // else it was answered before
      }
    }
    told();
  } catch (error) {
    own.delete(image.id);
    told(error.detail ?? String(error));
  }
  say(at("look-told").textContent);
}

at("look-more").addEventListener("click", () => mark("more"));
at("look-not").addEventListener("click", () => mark("not"));
