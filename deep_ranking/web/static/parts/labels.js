/** A choice of labels, searchable when there are many. */

import { count, make } from "./dom.js";

const MANY = 12;

/**
 * Fill a fieldset with a check box for each label.
 *
 * @param {HTMLFieldSetElement} box
 * @param {{label: string, count: number}[]} labels
 * @param {(chosen: string[]) => void} onChange
 * @returns {(chosen: string[]) => void} sets what is chosen
 */
export function labelFilter(box, labels, onChange) {
  const rows = labels.map(({ label, count: number }) => {
    const input = make("input", { type: "checkbox", value: label });
    return { label, input, row: make("li", {}, make("label", { title: label }, input, make("span", {}, label), make("span", { class: "number" }, count(number)))) };
  });
  const list = make("ul", { tabindex: labels.length > MANY ? 0 : null, "aria-label": "Labels" }, ...rows.map(({ row }) => row));
  const nothing = make("p", { class: "muted", hidden: true }, "No label has these letters.");
  list.addEventListener("change", () => onChange(rows.filter(({ input }) => input.checked).map(({ label }) => label)));
  box.replaceChildren(make("legend", {}, "Only these labels"));
  if (labels.length > MANY) box.append(finder((matches) => (nothing.hidden = rows.filter((row) => !(row.row.hidden = !matches(row.label))).length > 0)));
  box.append(list, nothing);
  box.hidden = !labels.length;
  return (chosen) => rows.forEach(({ label, input }) => (input.checked = chosen.includes(label)));
}

/** A search field that tells which labels match what was typed. */
function finder(onInput) {
  const field = make("input", { type: "search", class: "find", placeholder: "Find a label", "aria-label": "Find a label", autocomplete: "off" });
  field.addEventListener("input", () => onInput(matcher(field.value)));
  return field;
}

/** Tell whether a label has these letters, whatever their case. */
export function matcher(letters) {
  const wanted = letters.trim().toLowerCase();
  return (label) => label.toLowerCase().includes(wanted);
}
