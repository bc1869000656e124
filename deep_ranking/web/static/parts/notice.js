/** What stands where there is nothing to show: why, and what to do. */

import { at, make, say } from "./dom.js";

/** Text in which `words` are code. */
export function words(text) {
  return text.split("`").map((part, i) => (i % 2 ? make("code", {}, part) : part));
}

/** Put a notice into the page, in place of the one before; `actions` are buttons or links. */
export function notice(title, text, { wrong = false, actions = [] } = {}) {
  const box = make("div", { class: wrong ? "notice wrong" : "notice" }, make("h2", {}, title), make("p", {}, ...words(text)));
  if (actions.length) box.append(make("div", { class: "ways" }, ...actions));
  at("notice").replaceChildren(box);
  say(`${title}. ${text.replaceAll("`", "")}`);
}

/** What a refusal is called by people, by its kind or its status; its own sentence says what to do. */
const TITLES = { "/problems/ratings-unusable": "The ratings cannot be used", 404: "Not found", 413: "The picture is too large", 415: "This is no picture that can be read", 503: "The server is busy" };

/** Put a Problem into the page, with a button that tries again and other ways to go on. */
export function problem(error, again, ...ways) {
  if (error.name === "AbortError") return;
  const known = "detail" in error;
  if (error.status >= 400 && error.status < 500 && error.status !== 408) again = null; // it would be refused again
  notice(known ? (TITLES[error.type] ?? TITLES[error.status] ?? error.title) : "The page failed", known ? error.detail : String(error), {
    wrong: true,
    actions: [...(again ? [make("button", { type: "button", class: "button", click: again }, "Try again")] : []), ...ways],
  });
  if (!known) throw error;
}

/** Take the notice away. */
export const noNotice = () => at("notice").replaceChildren();

/** The notice of a folder of images that cannot be opened. */
export const folderGone = ({ folder }) =>
  notice(
    "The folder of images cannot be opened",
    `${folder ? `\`${folder}\` was` : "It was"} moved, deleted or is on a disk that is not there now. The index knows what its images look like, so they can be searched, but not shown.`,
    { wrong: true },
  );

/** The notice of an index without images. */
export const emptyIndex = () =>
  notice(
    "The index is empty",
    "Fill it with `deep-ranking index FOLDER --index DIR`, then load this page again.",
  );
