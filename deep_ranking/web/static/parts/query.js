/** A search as the address bar holds it. */

import { address } from "./api.js";

const DEFAULTS = { top: 24, bottom: 0 };

/** The search that the address bar holds. */
export function read() {
  const words = new URLSearchParams(location.search);
  const number = (name) => (/^\d+$/.test(words.get(name) ?? "") ? Number(words.get(name)) : DEFAULTS[name]);
  return {
    image: words.get("image"), upload: words.get("upload"), path: words.get("path"), label: words.getAll("label"),
    top: number("top"), bottom: number("bottom"), exact: words.get("exact") === "true",
  };
}

/** The address of a search; what is as usual is left out. */
export function addressOf({ top, bottom, exact, ...rest }) {
  return address("./", { ...rest, top: top === DEFAULTS.top ? null : top, bottom: bottom || null, exact: exact || null });
}

/** The same search by another picture, of which one of `image`, `upload` and `path` is given. */
export const by = (picture) => ({ ...read(), image: null, upload: null, path: null, ...picture });
