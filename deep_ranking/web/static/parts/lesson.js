/** What was learned from the answers: a button that learns, the gain beside it, the search before and after. */

import { ask } from "./api.js";
import { at, counted, make, say } from "./dom.js";
import { noNotice, problem } from "./notice.js";
import { picture } from "./picture.js";

const share = (x) => `${(100 * x).toFixed(0)}%`;
const points = (x) => `${x < 0 ? "−" : "+"}${Math.abs(100 * x).toFixed(0)}`;

let waiting = false; // for what is learned
let last = null; // what was shown
let failed = false; // the page's notice is about that

/** Show how much there is to learn from, and what was learned; wait for what somebody else lets it learn. */
export async function lesson() {
  const told = await ask("api/lesson");
  if (waiting) return;
  show(told);
  if (told.learning) change(null, tell);
}

function show(told) {
  const { answers, fewest, first_model: first, possible, learning, learned } = (last = told);
  at("lesson").hidden = !possible || !(answers || learned);
  at("learn").textContent = `Learn from ${counted(answers, "answer")}`;
  at("learn").disabled = learning || answers < fewest;
  at("forget").hidden = !learned;
  at("forget").disabled = learning;
  at("lesson").setAttribute("aria-busy", String(learning));
  at("lesson-text").textContent = learning
    ? `Learning from ${counted(answers, "answer")}. Search goes on as it was meanwhile.`
    : learned
      ? `Learned from ${counted(learned.triplets, "answer")}. Of answers held out, ${share(learned.before)} were ranked right before, ${share(learned.after)} now: ${points(learned.gain)} points (95%: ${points(learned.gain_low)} to ${points(learned.gain_high)}).`
      : answers < fewest
        ? `From ${fewest} answers with a preference on, search can learn from them.`
        : `Search can learn from the answers${answers < first ? `; ${first} make a first model` : ""}. It is kept only if it ranks answers better that it did not learn from.`;
}

/** Learn or take back, or wait for what is being learned already. */
async function change(method, done) {
  waiting = true;
  at("learn").disabled = at("forget").disabled = true;
  at("lesson").setAttribute("aria-busy", "true");
  try {
    let told = await (method ? ask("api/lesson", { method }) : ask("api/lesson/outcome"));
    while (told.learning) {
      show(told);
      told = await ask("api/lesson/outcome");
    }
    if (failed) noNotice();
    failed = false;
    show(told);
    compared(told);
    done(told);
  } catch (error) {
    failed = true;
    if (last) show({ ...last, learning: false });
    problem(error, () => change(method ?? "POST", done));
  } finally {
    waiting = false;
  }
}

/** One search before and after, where they differ; what came nearer, or is new among the first, is marked. */
function compared({ query, before = [], after = [] }) {
  const place = at("lesson-search");
  place.hidden = !query;
  place.replaceChildren();
  if (!query) return;
  const was = new Map(before.map((image, rank) => [image.id, rank]));
  const moved = ({ id }, rank) => (!was.has(id) ? "new" : was.get(id) > rank ? `↑ ${was.get(id) - rank}` : "");
  const shown = (image, mark) => make("li", {}, make("div", { class: mark ? "well new" : "well" }, picture(image, "110px")), make("span", { class: "mark" }, mark));
  const row = (images, mark) => make("ol", {}, ...images.map((image, rank) => shown(image, mark(image, rank))));
  place.append(
    make("span", {}, "Query"), make("div", { class: "well asked" }, picture(query, "80px")),
    make("span", {}, "Before"), row(before, () => ""),
    make("span", {}, "After"), row(after, moved),
  );
}

function tell({ better }) {
  if (!better) at("lesson-text").textContent = "Nothing that was tried ranks answers better that it did not learn from, so search is as it was made. Rate more.";
  say(at("lesson-text").textContent);
}

at("learn").addEventListener("click", () => change("POST", tell));
at("forget").addEventListener("click", () => change("DELETE", () => say("Taken back. Search is as it was.")));
