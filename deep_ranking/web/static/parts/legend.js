/** The labels of the map, their colours, and how many images they have. */

import { at, count, make, openWhenWide } from "./dom.js";
import { thumbnail } from "./picture.js";
import { matcher } from "./labels.js";

/** Fill the legend; a label that is pressed is shown, the others fade. Clusters come with an example each. */
export function legend(atlas, labels, points, examples = []) {
  at("legend-title").textContent = examples.length ? "Clusters" : "Labels";
  const numbers = new Uint32Array(labels.length);
  for (const label of points.label) numbers[label] += 1;
  const rows = labels.map((label, i) => {
    const dot = make("span", { class: "dot" });
    const name = label ?? "no label";
    const button = make("button", { type: "button", "aria-pressed": "false", title: name }, dot, examples.length ? make("img", { src: thumbnail(examples[i], 160), alt: "", width: 36, height: 36 }) : null, make("span", { class: "label" }, name), make("span", { class: "number" }, count(numbers[i])));
    button.addEventListener("click", () => {
      atlas.chosen = atlas.chosen === i ? null : i;
      rows.forEach((row, j) => row.button.setAttribute("aria-pressed", String(atlas.chosen === j)));
      atlas.soon();
    });
    return { name, dot, button, row: make("li", {}, button) };
  });
  at("legend").append(...rows.map(({ row }) => row));
  const colour = () => rows.forEach(({ dot }, i) => (dot.style.background = atlas.colours[i]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => requestAnimationFrame(colour));
  colour();
  at("legend-find").hidden = labels.length <= 12;
  at("legend-find").addEventListener("input", () => {
    const matches = matcher(at("legend-find").value);
    for (const { name, row } of rows) row.hidden = !matches(name);
  });
  openWhenWide(at("legend-box"));
}
