/** The server's answers, and its refusals as `Problem`s whose texts are for people. */

/** What went wrong, and what to do about it. */
export class Problem extends Error {
  constructor(status, title, detail, type = "") {
    super(`${title}: ${detail}`);
    Object.assign(this, { status, title, detail, type });
  }
}

/** An address with a query; a list is repeated, and null and "" are left out. */
export function address(path, query = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const word of [value].flat()) if (word !== null && word !== undefined && word !== "") words.append(name, word);
  }
  return words.size ? `${path}?${words}` : path;
}

/** Ask the server; returns what its JSON says, or throws a Problem (an AbortError when stopped). */
export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer", "It may have been stopped. Start `deep-ranking serve` again, then try again.");
  }
  const json = /json/.test(answer.headers.get("content-type") ?? "");
  if (answer.ok && json) return answer.json();
  const { title, detail, type } = json ? await answer.json() : {};
  throw new Problem(answer.status, title ?? "The server failed", detail ?? "Its log says more. Try again.", type);
}

/** Send JSON. */
export const send = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** What the server knows of the index; asked once a page. */
let asked;
export function index() {
  asked ??= ask("api/index").catch((error) => {
    asked = undefined;
    throw error;
  });
  return asked;
}
