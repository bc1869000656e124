/** The facts at the right of the top bar. */

import { index } from "./api.js";
import { at, counted } from "./dom.js";

/** Say which index this is. */
export async function facts() {
  const { name, images } = await index();
  at("facts").textContent = `${name}: ${counted(images, "image")}`;
}
