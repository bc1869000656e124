/** The controls of a search, in line with the address bar. */

import { at, icon, make } from "./dom.js";
import { addressOf } from "./query.js";

const TOPS = [12, 24, 48, 96, 192];
const BOTTOMS = [0, 6, 12, 24];

/** Show a search in the controls; `about` is what the server told of the index. */
export function showControls(search, about) {
  choices(at("top"), TOPS, search.top, String);
  choices(at("bottom"), BOTTOMS, search.bottom, (number) => (number ? String(number) : "none"));
  at("exact-choice").hidden = !about.approximate;
  at("exact").checked = search.exact;
  at("choose").disabled = at("photograph").disabled = !about.uploads;
  if (document.activeElement !== at("name")) at("name").value = search.name ?? "";
  const chips = search.label.map((label) => chip(label, "label", { ...search, label: search.label.filter((other) => other !== label) }));
  if (search.folder) chips.push(chip(search.folder, "folder", { ...search, folder: null }));
  at("chips").hidden = !chips.length;
  at("chips").replaceChildren(...chips);
}

function choices(select, numbers, chosen, text) {
  const all = numbers.includes(chosen) ? numbers : [...numbers, chosen].sort((a, b) => a - b);
  select.replaceChildren(...all.map((number) => make("option", { value: number, selected: number === chosen }, text(number))));
}

/** A label or a folder that is searched, and the way to take it away. */
function chip(text, kind, without) {
  return make("li", {}, make("a", { class: "button", href: addressOf(without), "aria-label": `Take away the ${kind} ${text}` }, text, icon("close")));
}
