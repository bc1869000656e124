/** A histogram of distances with a mark in it, drawn as SVG. */

import { count, draw, spoken } from "./dom.js";

const [HEIGHT, FOOT, HEAD] = [180, 24, 24]; // px

/**
 * Draw how the distances of the index's pairs are spread, and where one distance lies among them.
 *
 * @param {{edges: number[], counts: number[], pairs: number}} histogram n + 1 edges, n counts
 * @param {number} distance the one to mark
 * @param {number} width in px
 */
export function histogram({ edges, counts, pairs }, distance, width) {
  const low = Math.min(edges[0], distance);
  const high = Math.max(edges.at(-1), distance);
  const x = (value) => ((value - low) / (high - low || 1)) * width;
  const most = Math.max(...counts, 1);
  const picture = draw("svg", { width, height: HEAD + HEIGHT + FOOT, role: "img", "aria-label": `Histogram of ${count(pairs)} distances, from ${spoken(edges[0])} to ${spoken(edges.at(-1))}; this pair's is ${spoken(distance)}` });
  counts.forEach((number, i) => {
    const height = (number / most) * HEIGHT;
    const left = x(edges[i]);
    // Nearer than the mark in the strong colour; the bar that the mark falls into is cut there.
    for (const [from, to, kind] of [[left, Math.min(x(edges[i + 1]), x(distance)), "bar-near"], [Math.max(left, x(distance)), x(edges[i + 1]), "bar-far"]]) {
      if (to > from && number) picture.append(draw("rect", { class: kind, x: from, y: HEAD + HEIGHT - height, width: Math.max(to - from - 0.75, 0.25), height }));
    }
  });
  const foot = HEAD + HEIGHT;
  picture.append(draw("line", { class: "axis", x1: 0, x2: width, y1: foot, y2: foot }));
  for (let i = 0; i <= 4; i += 1) {
    const anchor = ["start", "middle", "middle", "middle", "end"][i];
    picture.append(draw("text", { x: (width * i) / 4, y: foot + 18, "text-anchor": anchor }, (low + ((high - low) * i) / 4).toFixed(2)));
  }
  const at = x(distance);
  const anchor = at < 60 ? "start" : at > width - 60 ? "end" : "middle";
  picture.append(
    draw("line", { class: "mark", x1: at, x2: at, y1: HEAD - 6, y2: foot }),
    draw("text", { class: "mark-text", x: at, y: HEAD - 11, "text-anchor": anchor }, spoken(distance)),
  );
  return picture;
}
