/** The page that rates: a query, two candidates, four answers. Keys 1 to 4, arrows and clicks answer, U takes back. */

import { address, ask, index, Problem, send } from "./parts/api.js";
import { facts } from "./parts/bar.js";
import { at, count, counted, say } from "./parts/dom.js";
import { lesson } from "./parts/lesson.js";
import { emptyIndex, noNotice, notice, problem } from "./parts/notice.js";
import { picture, thumbnail } from "./parts/picture.js";

const ANSWERS = ["both_similar", "both_dissimilar", "a", "b"];
const ARROWS = { ArrowUp: "both_similar", ArrowDown: "both_dissimilar", ArrowLeft: "a", ArrowRight: "b" };
const FIRST_MODEL = 50; // answers; those that are left to ask are far more, and nobody need give them all
const NAME = "deep-ranking-rater";
const SIZES = "(min-width: 1800px) 520px, (min-width: 1152px) 352px, 45vw";

let rater = localStorage.getItem(NAME) ?? "";
let question = null; // the one shown
let next = null; // a promise of the one after it, its pictures on their way
let busy = false; // an answer is being written: keys that come meanwhile are not for the next question

/** The question `skip` places on, its pictures fetched ahead; null when there is none. */
async function fetchQuestion(skip) {
  try {
    const found = await ask(address("api/ratings/question", { rater, skip }));
    for (const image of [found.query, found.a, found.b]) new Image().src = thumbnail(image.id, 640);
    return found;
  } catch (error) {
    if (error instanceof Problem && /no-question-left$/.test(error.type)) return null;
    throw error;
  }
}

function show(wanted, given = null) {
  question = wanted;
  at("question").hidden = !wanted;
  at("rated").hidden = false;
  at("rater-name").textContent = rater;
  if (!wanted) return finished();
  for (const [place, name] of [["query", "Query"], ["a", "Candidate A"], ["b", "Candidate B"]]) {
    const image = wanted[place];
    const shown = picture(image, SIZES, `${name}: ${image.path.split("/").pop()}`);
    shown.removeAttribute("loading");
    at(`picture-${place}`).replaceChildren(shown);
  }
  for (const button of document.querySelectorAll("[data-answer]")) button.classList.toggle("given", button.dataset.answer === given);
  progress(wanted.answered, wanted.remaining ?? null);
}

function progress(answered, remaining) {
  const enough = remaining === null ? FIRST_MODEL : Math.min(FIRST_MODEL, answered + remaining) || 1;
  Object.assign(at("progress"), { max: enough, value: Math.min(answered, enough) });
  at("progress-text").textContent = `${count(answered)} rated` + (answered < enough ? `; ${enough} answers make a first model` : "");
  at("undo").disabled = answered === 0;
}

async function finished() {
  notice("All questions are answered", "Thank you. What several raters agree on can be trained on: `deep-ranking ratings export` writes it as a triplet file, or download it below.");
  const { raters } = await ask("api/ratings/summary");
  progress(raters.find((other) => other.rater === rater)?.ratings ?? 0, 0);
}

async function summary() {
  lesson().catch(failed);
  const { triplets, raters } = await ask("api/ratings/summary");
  at("export").hidden = !triplets.unanimous;
  at("summary").textContent = !triplets.rated ? "" : `${counted(raters.length, "rater")}, ${counted(triplets.rated, "triplet")}: ${count(triplets.unanimous)} unanimous, ${count(triplets.disputed)} disputed`;
}

/** Start with the question that is next. */
async function start() {
  noNotice();
  at("rater-form").hidden = true;
  try {
    show(await fetchQuestion(0));
    if (question) next = ahead();
    await summary();
  } catch (error) {
    failed(error);
  }
}

/** The question after the one shown; a failure waits until it is wanted. */
function ahead() {
  const promise = fetchQuestion(1);
  promise.catch(() => {});
  return promise;
}

async function answer(given) {
  if (busy || !question) return;
  busy = true;
  const { query, a, b } = question;
  for (const button of document.querySelectorAll("[data-answer]")) button.classList.toggle("given", button.dataset.answer === given);
  try {
    const { answered } = await send("api/ratings", { rater, query: query.id, a: a.id, b: b.id, answer: given });
    noNotice();
    let following = await (next ?? fetchQuestion(0));
    // Which is next follows from the answers: fetched ahead, before this one or after one was taken back, it may be this one.
    if (following && ["query", "a", "b"].every((place) => following[place].id === question[place].id)) following = await fetchQuestion(0);
    show(following && { ...following, answered, remaining: question.remaining === null ? null : Math.max(question.remaining - 1, 0) });
    say(following ? `${counted(answered, "triplet")} rated. Next question.` : "All questions are answered.");
    next = following && ahead();
    summary().catch(failed);
  } catch (error) {
    failed(error);
  } finally {
    busy = false;
  }
}

/** Take the last answer back and show its question again. */
async function undo() {
  if (busy || at("undo").disabled) return;
  busy = true;
  try {
    const taken = await ask(address("api/ratings/last", { rater }), { method: "DELETE" });
    noNotice();
    const remaining = question ? question.remaining : 0;
    show({ ...taken, remaining: remaining === null ? null : remaining + 1 }, taken.answer);
    say("Taken back. Answer again.");
    next = ahead();
    summary().catch(failed);
  } catch (error) {
    failed(error);
  } finally {
    busy = false;
  }
}

function failed(error) {
  if (error.status === 404 && /empty/.test(error.type)) emptyIndex();
  else problem(error, start);
}

function tooFew({ images }) {
  if (!images) return emptyIndex();
  notice("Too few images", `A question takes three images, and the index has ${images}. Put more into it with \`deep-ranking index\`, then load this page again.`);
}

function askName() {
  at("rater-form").hidden = false;
  at("question").hidden = at("rated").hidden = true;
  noNotice();
  at("rater").value = rater;
  at("rater").focus();
}

at("rater-form").addEventListener("submit", (event) => {
  event.preventDefault();
  rater = at("rater").value.trim();
  if (!rater) return;
  localStorage.setItem(NAME, rater);
  start();
});
at("rename").addEventListener("click", askName);
at("undo").addEventListener("click", undo);
for (const button of document.querySelectorAll("[data-answer]")) button.addEventListener("click", () => answer(button.dataset.answer));
for (const place of ["a", "b"]) at(`picture-${place}`).addEventListener("click", () => answer(place));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.matches("input, select, textarea")) return;
  const given = ANSWERS[Number(event.key) - 1] ?? ARROWS[event.key];
  if (given && question) {
    event.preventDefault();
    answer(given);
  }
  else if (event.key.toLowerCase() === "u") undo();
});

index()
  .catch(() => null) // what fails is told by what comes next
  .then((about) => (about && about.images < 3 ? tooFew(about) : rater ? start() : askName()));
facts().catch(() => {});
