/** The folders as a tree, to search in one of them. */

import { count, make } from "./dom.js";
import { addressOf } from "./query.js";

const parentOf = (folder) => folder.slice(0, Math.max(0, folder.lastIndexOf("/")));

/**
 * Fill a section with the tree; it stays hidden where the labels say the same.
 *
 * @param {HTMLElement} box
 * @param {{folder: string, count: number}[]} folders
 * @param {{label: string}[]} labels
 * @returns {(state: object) => void} shows the folder of a search, and makes the links those of that search
 */
export function folderTree(box, folders, labels) {
  const known = new Set(labels.map(({ label }) => label));
  box.hidden = folders.every(({ folder }) => known.has(folder));
  if (box.hidden) return () => {};
  const below = grouped(folders);
  const links = new Map(); // folder -> the link of its row
  let state = null;
  const aim = (folder, link) => {
    link.href = addressOf({ ...state, folder });
    if ((state.folder ?? "") === folder) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  };
  const branch = (parent) => make("ul", {}, ...(below.get(parent) ?? []).map(row));
  function row({ folder, count: number }) {
    const link = make("a", { title: folder }, make("span", { class: "folder-name" }, folder.slice(folder.lastIndexOf("/") + 1)), make("span", { class: "number" }, count(number)));
    links.set(folder, link);
    if (state) aim(folder, link);
    if (!below.has(folder)) return make("li", {}, link);
    const more = make("details", {}, make("summary", { "aria-label": `Folders in ${folder}` }));
    more.addEventListener("toggle", () => more.open && more.childElementCount === 1 && more.append(branch(folder)));
    return make("li", { class: "inner" }, link, more);
  }
  const all = make("a", {}, make("span", { class: "folder-name" }, "All folders"));
  links.set("", all);
  box.replaceChildren(make("h2", { id: "folders-heading" }, "Folders"), all, branch(""));
  return (now) => {
    state = now;
    for (const [folder, link] of links) aim(folder, link);
  };
}

function grouped(folders) {
  const map = new Map();
  for (const one of folders) {
    const parent = parentOf(one.folder);
    if (!map.has(parent)) map.set(parent, []);
    map.get(parent).push(one);
  }
  return map;
}
