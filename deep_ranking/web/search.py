"""From a query to vectors: an image of the index, by number or path, or an upload."""

from dataclasses import dataclass

import numpy as np

from deep_ranking.web.gallery import Gallery
from deep_ranking.web.problems import Problem
from deep_ranking.web.site import Site, row_of


@dataclass(frozen=True)
class Query:
    """What is searched by.

    Attributes:
        vector: shape (dimension,), float32.
        row: of the image, or None for an upload.
        upload: its name, or None for an image.
    """

    vector: np.ndarray
    row: int | None = None
    upload: str | None = None


def by_image(gallery: Gallery, number: int) -> Query:
    """Return the query of an image's number.

    Raises:
        Problem: 404, there is none.
    """
    row = row_of(gallery, number)
    return Query(gallery.snapshot.matrix[row], row)


def by_path(gallery: Gallery, path: str) -> Query:
    """Return the query of a path in the index; no file is looked for elsewhere.

    Raises:
        Problem: 404, it is not in the index.
    """
    row = gallery.snapshot.row(path)
    if row is None:
        raise Problem(404, "No image in the index has this path; paths are relative to the folder of images.")
    return Query(gallery.snapshot.matrix[row], row)


def by_upload(site: Site, gallery: Gallery, name: str) -> Query:
    """Return the query of an upload.

    Raises:
        Problem: 404, it is forgotten, or the index is of another model now.
    """
    vector = site.uploads.get(name).vector
    if len(vector) != gallery.snapshot.matrix.shape[1]:
        raise Problem(404, "The index has changed its model; start the server again.", "upload-forgotten")
    return Query(vector, upload=name)


def by_text(site: Site, gallery: Gallery, text: str) -> Query:
    """Return the query of `ID` or `upload:NAME`.

    Raises:
        Problem: 422, neither; 404, there is none.
    """
    if text.startswith("upload:"):
        return by_upload(site, gallery, text.removeprefix("upload:"))
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise Problem(422, "Expected an image's number, or upload:NAME with the name of an upload.")
    return by_image(gallery, int(text))
