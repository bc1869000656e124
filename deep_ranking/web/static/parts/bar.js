/** The name at the right of the top bar. */

import { index } from "./api.js";
import { at } from "./dom.js";

/** Say which index this is. */
export async function facts() {
  at("facts").textContent = (await index()).name;
}
