"""What the server is told, and everything that its requests share."""

import logging
import os
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, NoReturn, Protocol, cast

import numpy as np
from fastapi import Depends, Request

from deep_ranking.ratings import RatingStore
from deep_ranking.ratings.store import ratings_file
from deep_ranking.search import Index
from deep_ranking.search.groups import Group
from deep_ranking.search.measure import PairDistances
from deep_ranking.search.stores.registry import folder_of
from deep_ranking.settings import POSITIVE, Check, at_least, setting
from deep_ranking.settings import Settings as CheckedSettings
from deep_ranking.web import schema
from deep_ranking.web.behind import Behind, Later, Made
from deep_ranking.web.gallery import CurrentGallery, Gallery, shown
from deep_ranking.web.map import lay_out, usual_distances
from deep_ranking.web.problems import Problem
from deep_ranking.web.public import PublicURL
from deep_ranking.web.thumbnails import Thumbnails
from deep_ranking.web.uploads import Uploads
from deep_ranking.web.workers import Workers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings(CheckedSettings):
    """What is served, and its limits.

    Args:
        index: folder of the index, or the URL of its store.
        ratings: file of the ratings; in the folder of the index by default, needed with a URL.
        host: address that the server listens on. On 127.0.0.1 it answers requests to this machine's own names
            only.
        public_url: the address that people type, where a proxy stands before the server: its host is one of
            the server's own then, and its pages may write.
        max_upload_bytes: largest upload.
        bytes_together: of all uploads whose work has not ended; and of all answers that are not taken yet.
        max_uploads: uploads kept in memory; the oldest is forgotten first, of the client that has most.
        upload_minutes: after which an upload is forgotten.
        request_seconds: time in which a request has to arrive and to be answered.
        thumbnail_bytes: size of the cache of thumbnails.
        seed: of the order of questions, and of the pairs that the distance histogram is drawn from.

    Raises:
        DeepRankingError: a value out of range, or no place for the ratings.
    """

    index: str | os.PathLike[str]
    ratings: str | os.PathLike[str] | None = None
    host: str = setting("127.0.0.1", check=Check(bool, "an address"))
    public_url: str | None = None
    max_upload_bytes: int = setting(32 << 20, check=POSITIVE)
    bytes_together: int = setting(64 << 20, check=POSITIVE)
    max_uploads: int = setting(64, check=POSITIVE)
    upload_minutes: float = setting(60.0, check=POSITIVE)
    request_seconds: float = setting(30.0, check=POSITIVE)
    thumbnail_bytes: int = setting(1 << 30, check=POSITIVE)
    seed: int = setting(0, check=at_least(0))

    def __post_init__(self) -> None:
        super().__post_init__()
        ratings_file(self.index, self.ratings)
        self.public  # noqa: B018 - it is read, and so checked

    @cached_property
    def public(self) -> PublicURL | None:
        """What `public_url` says."""
        return None if self.public_url is None else PublicURL.read(self.public_url)

    @property
    def cache(self) -> Path:
        """The folder of what may be deleted at any time: beside the index, or beside the ratings."""
        return (folder_of(self.index) or ratings_file(self.index, self.ratings).parent) / "cache"


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


class _NoRatings:
    """Stands in for the ratings where none can be kept: whatever is asked of them is refused in words."""

    def close(self) -> None:
        """There is nothing to close."""

    def __getattr__(self, name: str) -> NoReturn:
        detail = (
            "The index may only be read here, so it keeps no ratings; start the server with --ratings FILE."
        )
        raise Problem(503, detail, "ratings-unusable")


def _ratings(settings: Settings) -> RatingStore:
    path = ratings_file(settings.index, settings.ratings)
    if (
        settings.ratings is None
        and path.parent.is_dir()
        and not os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    ):
        logger.warning("%s: cannot be written, so nobody can rate; --ratings FILE names another place", path)
        return cast(RatingStore, _NoRatings())
    return RatingStore(path)


class Site:
    """The index, the ratings, the uploads and the caches of one server.

    Args:
        settings: what is served.
        embedder: of the index's model; None serves without embedding uploads.

    Raises:
        DeepRankingError: there is no such index, it is of another model, or the ratings cannot be opened.
    """

    def __init__(self, settings: Settings, embedder: ImageEmbedder | Later | None = None):
        self.settings, self.embedder = settings, embedder
        if not isinstance(embedder, Later | None):  # which looks by itself
            with Index.open(settings.index) as index:
                index.check_model(embedder.fingerprint, embedder.dimension)
        self._gallery = CurrentGallery(settings.index)
        try:
            self.ratings = _ratings(settings)
        except BaseException:
            self._gallery.close()
            raise
        self.uploads = Uploads(settings.max_uploads, 60 * settings.upload_minutes)
        self.thumbnails = Thumbnails(settings.cache, settings.thumbnail_bytes)
        self.workers = Workers(settings.request_seconds)
        self._usual = Behind[list[tuple[float, float]]](partial(self.workers.begin, "pairs"), 1)
        self._pairs = Behind[PairDistances](partial(self.workers.begin, "pairs"), 1)
        self._map = Behind[bytes](partial(self.workers.begin, "map"), 1)
        self.duplicates = Behind[tuple[list[Group], int]](partial(self.workers.begin, "duplicates"))
        self.lesson: Made[schema.Learned] | None = None
        self.started = time.monotonic()

    def close(self) -> None:
        """Close the files, and begin no work any more."""
        self.workers.stop()
        self._gallery.close()
        self.ratings.close()
        self.thumbnails.close()

    @property
    def gallery(self) -> Gallery:
        """The newest version of the index."""
        return self._gallery()

    def reload(self) -> None:
        """See at once what this server has changed of the index."""
        self._gallery.reload()

    def usual(self, gallery: Gallery) -> Made[list[tuple[float, float]]]:
        """Return which distances are usual, once that is known."""
        return self._usual(gallery.key, lambda made: made.be(usual_distances(gallery, self.settings.seed)))

    def pairs(self, gallery: Gallery) -> Made[PairDistances]:
        """Return the distances of pairs, once they are measured."""
        matrix, seed = gallery.snapshot.matrix, self.settings.seed
        return self._pairs(gallery.key, lambda made: made.be(PairDistances(matrix, seed)))

    def map(self, gallery: Gallery) -> Made[bytes]:
        """Return the map as it is now, as JSON."""
        return self._map(gallery.key, partial(lay_out, gallery, self.settings.cache, self.settings.seed))

    def image(self, gallery: Gallery, row: int) -> schema.Image:
        """Describe an image by its row."""
        number, image = int(gallery.ids[row]), gallery.snapshot.images[row]
        width, height = gallery.sizes.get(number, (None, None))
        label = shown(image.label) or None
        size, modified = image.size or None, image.mtime / 1e9 if image.mtime else None
        return schema.Image(
            id=number,
            path=shown(image.path),
            label=label,
            width=width,
            height=height,
            bytes=size,
            modified=modified,
        )

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
