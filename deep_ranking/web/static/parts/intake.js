/** Pictures that come in: dropped, pasted, chosen or photographed. */

import { ask, index } from "./api.js";
import { at, count, say } from "./dom.js";

/** The kind under which a picture of the index is dragged within the page. */
export const DRAGGED = "application/x-deep-ranking-image";

/** Why uploads are refused, or null. */
export async function refusal() {
  return (await index()).uploads
    ? null
    : "There is no model to embed pictures with. Start `deep-ranking serve` with `--model FILE` to search by pictures of your own; every image here can be searched by already.";
}

/** Send a file; returns its name on the server and its size in pixels, or throws a Problem. */
export async function upload(file) {
  say("Sending the picture");
  const form = new FormData();
  form.append("file", file);
  return ask("api/uploads", { method: "POST", body: form });
}

/** What a picture may weigh, as a sentence. */
export async function limit() {
  return `Up to ${count(Math.floor((await index()).largest_upload / 1e6))} MB.`;
}

/**
 * Listen for pictures.
 *
 * @param {(files: File[], where: ?Element) => void} onFiles
 * @param {(id: number, where: ?Element) => void} onImage a picture of the index was dragged here
 * @param {string} invitation what the page says while a picture hovers over it
 */
export function intake({ onFiles, onImage, invitation }) {
  const veil = at("veil");
  const wanted = (event) => [DRAGGED, "Files"].find((kind) => event.dataTransfer?.types.includes(kind));
  let depth = 0; // dragenter and dragleave come for every element on the way
  const leave = () => {
    depth = 0;
    veil.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!wanted(event)) return;
    depth += 1;
    veil.firstElementChild.textContent = invitation;
    veil.hidden = wanted(event) === DRAGGED;
  });
  addEventListener("dragleave", (event) => wanted(event) && (depth -= 1) <= 0 && leave());
  addEventListener("dragover", (event) => wanted(event) && event.preventDefault());
  addEventListener("dragend", leave);
  addEventListener("drop", (event) => {
    const kind = wanted(event);
    if (!kind) return;
    event.preventDefault();
    leave();
    if (kind === DRAGGED) onImage(Number(event.dataTransfer.getData(DRAGGED)), event.target);
    else if (event.dataTransfer.files.length) onFiles([...event.dataTransfer.files], event.target);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    onFiles(files, null);
  });
}

/** Let a button open a file input, and hand on the files that were chosen. */
export function opens(button, input, onFiles) {
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length) onFiles(files);
  });
}
