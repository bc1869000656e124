/** Elements, made in one line. */

/** The element with this id. */
export const at = (id) => document.getElementById(id);

/**
 * Make an element. Attributes that are functions are listeners, `true` is an empty attribute, and `false`, null
 * and undefined are left out; children that are null are left out.
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make an element of SVG. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A picture from icons.svg, for the eye alone. */
export function icon(name) {
  return draw("svg", { class: "icon", "aria-hidden": "true" }, draw("use", { href: `static/icons.svg#${name}` }));
}

/** Say something to those who listen to the page instead of looking at it. */
export function say(text) {
  at("live").textContent = text;
}

/** Keep a <details> open on a wide window, where its summary may be hidden, and closed at first on a narrow one. */
export function openWhenWide(details) {
  const wide = matchMedia("(min-width: 960px)");
  const unfold = () => (details.open = wide.matches);
  wide.addEventListener("change", unfold);
  unfold();
}

/** A number with its thousands apart: 12,345. */
export const count = (number) => number.toLocaleString("en");

/** "1 image", "2 images". */
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** A distance, with the digits that the commands print. */
export const spoken = (distance) => distance.toFixed(6);

/** A path that is broken after a slash rather than within a name. */
export const path = (text) => make("span", { class: "path" }, ...text.split(/(?<=\/)/).flatMap((part) => [part, make("wbr")]));

/** The folder of a path, "" where it has none. */
export const folderOf = (path) => path.slice(0, Math.max(0, path.lastIndexOf("/")));

/** The last part of a path. */
export const fileName = (path) => path.split("/").pop();
