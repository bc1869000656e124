/** A colour for each label, told apart as well as their number allows. */

const GOLDEN = 137.508; // degrees: however many hues are taken, the next one is far from the last ones

/** Colours in CSS for n labels, on a light or a dark ground. */
export function palette(n, dark) {
  const lightness = dark ? [0.74, 0.86, 0.64] : [0.58, 0.46, 0.66];
  return Array.from({ length: n }, (_, i) => {
    const hue = n <= 12 ? (i * 360) / n + 30 : i * GOLDEN + 30;
    return `oklch(${lightness[i % lightness.length]} ${dark ? 0.14 : 0.16} ${(hue % 360).toFixed(1)})`;
  });
}

/** The [red, green, blue] of each colour, 0 to 255. */
export function channels(colours) {
  const pen = new OffscreenCanvas(Math.max(colours.length, 1), 1).getContext("2d", { willReadFrequently: true });
  colours.forEach((colour, i) => {
    pen.fillStyle = colour;
    pen.fillRect(i, 0, 1, 1);
  });
  const { data } = pen.getImageData(0, 0, Math.max(colours.length, 1), 1);
  return colours.map((_, i) => [data[4 * i], data[4 * i + 1], data[4 * i + 2]]);
}
