"""Thumbnails of indexed images' bytes, and of nothing else, kept in one SQLite file of limited size."""

import contextlib
import hashlib
import io
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from deep_ranking.containers import contained
from deep_ranking.images.decode import VERSION, read_size, read_thumbnail
from deep_ranking.search.image import Image
from deep_ranking.web.problems import Problem

SIZES = (160, 320, 640)
"""Pixels of the longer side; images of the index in 1600 too, to look at."""

FILE_NAME = "thumbnails.sqlite"
MEDIA_TYPE = "image/webp"
GONE = (Path(__file__).parent / "static" / "gone.svg").read_bytes()
"""A drawing of a picture whose file is gone."""

_KEPT = 0.8  # share of the limit that is left when the oldest are removed
_LARGEST = 1 << 30  # bytes of a file whose size the index does not know

_LARGE = 16 << 20  # pixels
_one_large = threading.Lock()

logger = logging.getLogger(__name__)


def read_indexed(folder: str | None, image: Image) -> bytes:
    """Read an image's file.

    It is served only while its content is what was indexed: the hash is taken of the very bytes that are
    returned, so whatever happens to the path meanwhile, such as a link put in its place, nothing else gets
    out. Links, which indexing follows, are followed here too. Images that were put into the index by hand,
    without a size and a time, have no hash of their content; these must lie in the folder of images.

    Raises:
        Problem: 404, gone, replaced or changed.
    """
    if folder is None:
        raise Problem(404, "The index does not say in which folder its images are; index the folder again.")
    by_hand = image.size == 0 and image.mtime == 0
    try:
        root = Path(folder).resolve(strict=True)
        # By its name a path never leads out, though a link in it may.
        by_name = Path(os.path.normpath(root / image.path))
        data = contained(by_name) if by_name.is_relative_to(root) and not by_hand else None
        if isinstance(data, bytes) and hashlib.sha256(data).digest() == image.hash:
            return data
        path = (root / image.path).resolve(strict=True)
        if not (path if by_hand else by_name).is_relative_to(root):
            raise Problem(404, "The image's path now leads out of the folder of images; it is not served.")
        if not path.is_file():
            raise Problem(404, "The image's path is no longer a file; index the folder again.")
        limit = image.size or _LARGEST
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links
        raise Problem(404, "The image's file is gone or cannot be read; index the folder again.") from None
    if len(data) > limit or not (by_hand or hashlib.sha256(data).digest() == image.hash):
        raise Problem(404, "The image's file has changed since it was indexed; index the folder again.")
    return data


@contextlib.contextmanager
def decoding(data: bytes) -> Iterator[None]:
    """Let images of many pixels be decoded one at a time: each may take hundreds of megabytes.

    Raises:
        ImageError: the header cannot be read.
    """
    width, height = read_size(data)
    with _one_large if width * height > _LARGE else contextlib.nullcontext():
        yield


def make_thumbnail(data: bytes, size: int) -> bytes:
    """Return an encoded image as a WebP file, in sRGB, that fits into a square.

    Raises:
        ImageError: it cannot be decoded.
    """
    encoded = io.BytesIO()
    with decoding(data):
        read_thumbnail(data, size).save(encoded, "WEBP", quality=80, method=2)
    return encoded.getvalue()


class Thumbnails:
    """A cache from (image number, size) to bytes.

    It may be deleted at any time. Where the file cannot be written, or is damaged beyond use, the cache is in
    memory and forgets with the process.

    Args:
        folder: where the file lies; made if missing.
        limit: bytes of thumbnails; beyond it, those made first are removed.
    """

    def __init__(self, folder: Path, limit: int):
        self._limit, self._lock = limit, threading.Lock()
        self._database = _connect(folder / FILE_NAME)
        self._bytes = self._count()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def get(self, image: int, size: int) -> bytes | None:
        """Return a thumbnail that was put here."""
        with self._lock:
            query = "SELECT data FROM thumbnails WHERE image = ? AND size = ?"
            row = self._database.execute(query, (image, size)).fetchone()
        return None if row is None else row[0]

    def put(self, image: int, size: int, data: bytes) -> None:
        """Keep a thumbnail; one that cannot be written is not kept, and will be made again."""
        with self._lock, contextlib.suppress(sqlite3.DatabaseError):
            put = "INSERT OR IGNORE INTO thumbnails (image, size, data) VALUES (?, ?, ?)"
            if self._database.execute(put, (image, size, data)).rowcount == 1:
                self._bytes += len(data)
            if self._bytes > self._limit:
                self._database.execute(
                    "DELETE FROM thumbnails WHERE number IN (SELECT number FROM (SELECT number,"
                    " sum(length(data)) OVER (ORDER BY number DESC) AS newer FROM thumbnails)"
                    " WHERE newer > ?)",
                    (_KEPT * self._limit,),
                )
                self._bytes = self._count()

    def _count(self) -> int:
        query = "SELECT coalesce(sum(length(data)), 0) FROM thumbnails"
        return int(self._database.execute(query).fetchone()[0])


def _connect(path: Path) -> sqlite3.Connection:
    for _ in range(2):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _prepared(str(path))
        except (sqlite3.OperationalError, OSError) as error:
            logger.warning("%s: thumbnails are not kept (%s)", path, getattr(error, "strerror", error))
            break
        except sqlite3.DatabaseError:  # damaged, and nothing in it is worth mending
            path.unlink(missing_ok=True)
    return _prepared(":memory:")


def _prepared(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        if (
            database.execute("PRAGMA user_version").fetchone()[0] != VERSION
        ):  # made by a decoder of other colours
            database.execute("DROP TABLE IF EXISTS thumbnails")
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute("PRAGMA synchronous = OFF")  # what a crash of the machine costs is made again
        database.execute(
            "CREATE TABLE IF NOT EXISTS thumbnails (number INTEGER PRIMARY KEY AUTOINCREMENT,"
            " image INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (image, size))"
        )
        database.execute("SELECT count(*) FROM thumbnails").fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
