/** A search as the address bar holds it. */

import { address } from "./api.js";

const DEFAULTS = { top: 24, bottom: 0 };

/** Pictures that are searched by together, at most. */
export const MOST_QUERIES = 8;

/** The search that the address bar holds, or another address's part from its `?`. */
export function read(search = location.search) {
  const words = new URLSearchParams(search);
  const number = (name) => (/^\d+$/.test(words.get(name) ?? "") ? Number(words.get(name)) : DEFAULTS[name]);
  return {
    image: words.getAll("image"), upload: words.getAll("upload"), path: words.get("path"),
    label: words.getAll("label"), folder: words.get("folder"), name: words.get("name"),
    top: number("top"), bottom: number("bottom"), exact: words.get("exact") === "true",
  };
}

/** Whether a search is by a picture; else it lists images. */
export const hasQuery = ({ image, upload, path }) => Boolean(image.length || upload.length || path);

/** The address of a search; what is as usual is left out. */
export function addressOf({ top, bottom, exact, ...rest }) {
  return address("./", { ...rest, top: top === DEFAULTS.top ? null : top, bottom: bottom || null, exact: exact || null });
}

/** A search without its pictures. */
export const without = (state) => ({ ...state, image: [], upload: [], path: null, name: null });

/** The same search by other pictures, of which `image`, `upload` or `path` is given. */
export const by = (picture) => ({ ...without(read()), ...picture });
