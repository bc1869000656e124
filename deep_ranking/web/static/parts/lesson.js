/** What was learned from the answers: a button that learns, the gain beside it, the search before and after. */

import { ask } from "./api.js";
import { at, count, make, say } from "./dom.js";
import { problem } from "./notice.js";
import { picture } from "./picture.js";

const share = (x) => `${(100 * x).toFixed(0)}%`;
const points = (x) => `${x < 0 ? "−" : "+"}${Math.abs(100 * x).toFixed(0)}`;

/** Show how much there is to learn from, and what was learned. */
export async function lesson() {
  show(await ask("api/lesson"));
}

function show({ answers, fewest, first_model: first, possible, learned }) {
  at("lesson").hidden = !possible || !(answers || learned);
  at("learn").textContent = `Learn from ${count(answers)} answers`;
  at("learn").disabled = answers < fewest;
  at("forget").hidden = !learned;
  at("lesson-text").textContent = learned
    ? `Learned from ${count(learned.triplets)} answers. Of answers held out, ${share(learned.before)} were ranked right before, ${share(learned.after)} now: ${points(learned.gain)} points (95%: ${points(learned.gain_low)} to ${points(learned.gain_high)}).`
    : answers < fewest
      ? `From ${fewest} answers with a preference on, search can learn from them.`
      : `Search can learn from the answers${answers < first ? `; ${first} make a first model` : ""}. It is kept only if it ranks answers better that it did not learn from.`;
}

async function change(method, done) {
  at("learn").disabled = at("forget").disabled = true;
  at("lesson").setAttribute("aria-busy", "true");
  try {
    const told = await ask("api/lesson", { method });
    show(told);
    compared(told);
    done(told);
  } catch (error) {
    problem(error, () => change(method, done));
    at("learn").disabled = false;
  } finally {
    at("forget").disabled = false;
    at("lesson").removeAttribute("aria-busy");
  }
}

/** One search before and after, where they differ; what is new among the first is marked. */
function compared({ query, before = [], after = [] }) {
  const place = at("lesson-search");
  place.hidden = !query;
  place.replaceChildren();
  if (!query) return;
  const known = new Set(before.map((image) => image.id));
  const row = (images) =>
    make("ol", {}, ...images.map((image) => make("li", {}, make("div", { class: known.has(image.id) ? "well" : "well new" }, picture(image, "110px")))));
  place.append(
    make("span", {}, "Query"), make("div", { class: "well asked" }, picture(query, "80px")),
    make("span", {}, "Before"), row(before),
    make("span", {}, "After"), row(after),
  );
}

at("learn").addEventListener("click", () =>
  change("POST", ({ better }) => {
    if (!better) at("lesson-text").textContent = "Nothing that was tried ranks answers better that it did not learn from, so search is as it was. Rate more.";
    say(at("lesson-text").textContent);
  }),
);
at("forget").addEventListener("click", () => change("DELETE", () => say("Taken back. Search is as it was.")));
