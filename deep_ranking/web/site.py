"""Everything that requests share, and how a request names an image: by number or path, or an upload."""

import time
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
from fastapi import Depends, Request

from deep_ranking.ratings import RatingStore
from deep_ranking.search import Index
from deep_ranking.web import schema
from deep_ranking.web.gallery import CurrentGallery, Gallery, shown
from deep_ranking.web.map import OncePerVersion, PairDistances, make_map
from deep_ranking.web.problems import Problem
from deep_ranking.web.settings import Settings
from deep_ranking.web.thumbnails import Thumbnails
from deep_ranking.web.uploads import Uploads
from deep_ranking.web.workers import Workers


class ImageEmbedder(Protocol):
    """What turns an image's bytes into a vector: `deep_ranking.embedding.Model`, or anything else."""

    @property
    def dimension(self) -> int:
        """The number of coordinates of a vector."""

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the vectors would."""

    def embed_image(self, image: bytes) -> np.ndarray:
        """Return (dimension,) float32."""


class Site:
    """The index, the ratings, the uploads and the caches of one server.

    Args:
        settings: what is served.
        embedder: of the index's model; None serves without embedding uploads.

    Raises:
        DeepRankingError: there is no such index, it is of another model, or the ratings cannot be opened.
    """

    def __init__(self, settings: Settings, embedder: ImageEmbedder | None = None):
        self.settings, self.embedder = settings, embedder
        if embedder is not None:
            with Index.open(settings.index) as index:
                index.check_model(embedder.fingerprint, embedder.dimension)
        self._gallery = CurrentGallery(settings.index)
        try:
            self.ratings: RatingStore = settings.open_ratings()
        except BaseException:
            self._gallery.close()
            raise
        self.uploads = Uploads(settings.max_uploads)
        self.thumbnails = Thumbnails(settings.cache, settings.thumbnail_bytes)
        self.workers = Workers(settings.request_seconds)
        self.pairs = OncePerVersion(lambda gallery: PairDistances(gallery.snapshot.matrix, settings.seed))
        self.map = OncePerVersion(lambda gallery: make_map(gallery, settings.seed))
        self.started = time.monotonic()

    def close(self) -> None:
        """Close the files."""
        self._gallery.close()
        self.ratings.close()
        self.thumbnails.close()

    @property
    def gallery(self) -> Gallery:
        """The newest version of the index."""
        return self._gallery()

    def image(self, gallery: Gallery, row: int) -> schema.Image:
        """Describe an image by its row."""
        number, image = gallery.ids[row], gallery.snapshot.images[row]
        width, height = gallery.sizes.get(number, (None, None))
        label = shown(image.label) or None
        return schema.Image(id=number, path=shown(image.path), label=label, width=width, height=height)

    def image_at(self, gallery: Gallery, path: str) -> schema.Image | None:
        """Describe an image by its path; None if it is not in the index."""
        row = gallery.snapshot.row(path)
        return None if row is None else self.image(gallery, row)


def row_of(gallery: Gallery, number: int) -> int:
    """Return the row of an image by its number.

    Raises:
        Problem: 404, no image has it.
    """
    row = gallery.row(number)
    if row is None:
        raise Problem(404, "No image in the index has this number; it was removed or changed. Search again.")
    return row


def _site(request: Request) -> Site:
    return request.app.state.site


At = Annotated[Site, Depends(_site)]
"""A route's parameter that brings the site."""


@dataclass(frozen=True)
class ImageVector:
    """An image that is searched by or compared: of the index, or an upload.

    Attributes:
        vector: shape (dimension,), float32.
        row: of the image, or None for an upload.
        upload: its name, or None for an image.
    """

    vector: np.ndarray
    row: int | None = None
    upload: str | None = None


def by_image(gallery: Gallery, number: int) -> ImageVector:
    """Return the query of an image's number.

    Raises:
        Problem: 404, there is none.
    """
    row = row_of(gallery, number)
    return ImageVector(gallery.snapshot.matrix[row], row)


def by_path(gallery: Gallery, path: str) -> ImageVector:
    """Return the query of a path in the index; no file is looked for elsewhere.

    Raises:
        Problem: 404, it is not in the index.
    """
    row = gallery.snapshot.row(path)
    if row is None:
        raise Problem(404, "No image in the index has this path; paths are relative to the folder of images.")
    return ImageVector(gallery.snapshot.matrix[row], row)


def by_upload(site: Site, gallery: Gallery, name: str) -> ImageVector:
    """Return the query of an upload.

    Raises:
        Problem: 404, it is forgotten, or the index is of another model now.
    """
    vector = site.uploads.get(name).vector
    if len(vector) != gallery.snapshot.matrix.shape[1]:
        raise Problem(404, "The index has changed its model; start the server again.", "upload-forgotten")
    return ImageVector(vector, upload=name)


def by_text(site: Site, gallery: Gallery, text: str) -> ImageVector:
    """Return the query of `ID` or `upload:NAME`.

    Raises:
        Problem: 422, neither; 404, there is none.
    """
    if text.startswith("upload:"):
        return by_upload(site, gallery, text.removeprefix("upload:"))
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise Problem(422, "Expected an image's number, or upload:NAME with the name of an upload.")
    return by_image(gallery, int(text))
