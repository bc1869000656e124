"""What the server is told."""

import os
from dataclasses import dataclass
from pathlib import Path

from deep_ranking.errors import expect
from deep_ranking.ratings import RatingStore
from deep_ranking.ratings.store import ratings_file
from deep_ranking.search.stores.registry import folder_of


@dataclass(frozen=True)
class Settings:
    """What is served, and its limits.

    Args:
        index: folder of the index, or the URL of its store.
        ratings: file of the ratings; in the folder of the index by default, needed with a URL.
        host: address that the server listens on. On 127.0.0.1 it answers requests to this machine's own names
            only.
        max_upload_bytes: largest upload.
        max_uploads: uploads kept in memory; the oldest is forgotten first.
        request_seconds: time in which a request has to arrive and to be answered.
        thumbnail_bytes: size of the cache of thumbnails.
        seed: of the order of questions, and of the pairs that the distance histogram is drawn from.

    Raises:
        DeepRankingError: a value out of range, or no place for the ratings.
    """

    index: str | os.PathLike[str]
    ratings: str | os.PathLike[str] | None = None
    host: str = "127.0.0.1"
    max_upload_bytes: int = 32 << 20
    max_uploads: int = 64
    request_seconds: float = 30.0
    thumbnail_bytes: int = 1 << 30
    seed: int = 0

    def __post_init__(self) -> None:
        expect("host", bool(self.host), "an address", self.host)
        for name in ("max_upload_bytes", "max_uploads", "request_seconds", "thumbnail_bytes"):
            value = getattr(self, name)
            expect(name, value > 0, "a number above 0", value)
        expect("seed", self.seed >= 0, "0 or more", self.seed)
        ratings_file(self.index, self.ratings)

    def open_ratings(self) -> RatingStore:
        """Open the file of the ratings, or make it."""
        return RatingStore(ratings_file(self.index, self.ratings))

    @property
    def cache(self) -> Path:
        """The folder of what may be deleted at any time: beside the index, or beside the ratings."""
        return (folder_of(self.index) or ratings_file(self.index, self.ratings).parent) / "cache"
