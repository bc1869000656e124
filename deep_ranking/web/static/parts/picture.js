/** Thumbnails, in the size that the screen needs. */

import { fileName, make } from "./dom.js";

const SIZES = [160, 320, 640];

/** What to call an image, in words. */
export const title = (image) => (image.label ? `${image.label}: ${fileName(image.path)}` : fileName(image.path));

/** The address of an image's thumbnail; where its file is gone, of a drawing that says so. */
export const thumbnail = (id, size) => `api/images/${id}/thumbnail?stand_in=true&size=${size}`;

/**
 * A picture of an image of the index.
 *
 * @param {{id: number, path: string, label: ?string, width: ?number, height: ?number}} image
 * @param {string} sizes how long its longer side will be, as in the attribute `sizes`
 */
export function picture(image, sizes, alt = title(image)) {
  return make("img", {
    src: thumbnail(image.id, 320),
    srcset: SIZES.map((size) => `${thumbnail(image.id, size)} ${size}w`).join(", "),
    sizes,
    alt,
    width: image.width ?? 320,
    height: image.height ?? 320,
    decoding: "async",
    loading: "lazy",
  });
}

/** A picture of an upload, by its name on the server. */
export const uploadedPicture = (upload) =>
  make("img", { src: `api/uploads/${upload}/thumbnail?size=640`, alt: "Your picture", width: 640, height: 640 });
