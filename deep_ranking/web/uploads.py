"""Uploaded images: read in memory, checked by decoding, embedded, and forgotten; never on the disk."""

import hashlib
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from threading import Lock

import numpy as np
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from deep_ranking.images.decode import ImageError, TooManyPixelsError, UnknownFormatError, read_size
from deep_ranking.web.problems import Problem
from deep_ranking.web.thumbnails import SIZES, make_thumbnail


@dataclass(frozen=True)
class Upload:
    """What is kept of an upload.

    Attributes:
        vector: shape (dimension,), float32.
        width, height: pixels of the upright image.
        picture: the largest thumbnail, a WebP file.
    """

    vector: np.ndarray
    width: int
    height: int
    picture: bytes


class Uploads:
    """The last uploads by an unguessable name.

    Args:
        most: how many are kept; beyond it, the client that has most loses its oldest.
        seconds: after which one is forgotten.
    """

    def __init__(self, most: int, seconds: float):
        self._most, self._seconds, self._lock = most, seconds, Lock()
        self._kept: OrderedDict[str, tuple[Upload, str, float]] = OrderedDict()

    def add(self, upload: Upload, client: str) -> str:
        """Keep an upload of a client, and return its name."""
        name = secrets.token_hex(16)
        with self._lock:
            self._forget_old()
            self._kept[name] = upload, client, time.monotonic()
            if len(self._kept) > self._most:
                greediest = Counter(whose for _, whose, _ in self._kept.values()).most_common(1)[0][0]
                del self._kept[next(name for name, kept in self._kept.items() if kept[1] == greediest)]
        return name

    def _forget_old(self) -> None:
        since = time.monotonic() - self._seconds
        for name in [name for name, (_, _, at) in self._kept.items() if at < since]:
            del self._kept[name]

    def get(self, name: str) -> Upload:
        """Return an upload.

        Raises:
            Problem: 404, there is none of this name, or it is forgotten.
        """
        with self._lock:
            self._forget_old()
            if name not in self._kept:
                detail = "This upload is no longer known; upload the image again."
                raise Problem(404, detail, "upload-forgotten")
            self._kept.move_to_end(name)
            return self._kept[name][0]


def client_of(request: Request, behind_proxy: bool) -> str:
    """Return the address that a request comes from; of the proxy's client, as the proxy tells it."""
    told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() if behind_proxy else ""
    return told or (request.client.host if request.client else "")


async def receive_file(request: Request, most: int) -> bytes:
    """Return the bytes, at most so many, of the field `file` of a multipart request.

    Raises:
        Problem: 415, no multipart; 400, damaged, or without the field; 413, too large.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Problem(415, "Send the image as multipart/form-data, in the field 'file'.")
    parser = _Parser(request, 2 * most)  # above what is let in: never on the disk
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise parser.problem or Problem(
            400, f"The upload is damaged ({error.message}); send it again."
        ) from None
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Problem(400, "Expected a file in the field 'file', found none.")
        data = await file.read()
    finally:
        await form.close()
    if len(data) > most:
        raise Problem(413, f"The file is larger than {most:,} bytes; make it smaller.")
    return data


class _Parser(MultiPartParser):
    """Starlette's parser, which keeps files up to `spool_max_size` in memory, and here misses no end.

    Attributes:
        problem: for which the rest is not received; what came is forgotten.
    """

    def __init__(self, request: Request, spool_max_size: int):
        super().__init__(request.headers, self._whole(request), max_files=1, max_fields=8)
        self.spool_max_size = spool_max_size
        self._ended = False
        self.problem: Problem | None = None

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, request: Request) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in request.stream():
                yield chunk
        except Problem as problem:
            self.problem = problem
            raise MultiPartException(problem.detail) from None
        if not self._ended:
            raise MultiPartException("it is cut off")


def examine(data: bytes) -> tuple[bytes, int, int, bytes]:
    """Return of an uploaded image, which is thereby decoded, what is to be known.

    Returns:
        The SHA-256 by which the index knows contents, width, height, and the largest thumbnail.

    Raises:
        Problem: 413, too many pixels, told by the header and not decoded; 415, of no known format; 422,
            damaged.
    """
    try:
        width, height = read_size(data)
        return hashlib.sha256(data).digest(), width, height, make_thumbnail(data, max(SIZES))
    except TooManyPixelsError as error:
        raise Problem(413, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    except UnknownFormatError:
        raise Problem(415, "The file is no image of a known format; send a JPEG, PNG, WebP or GIF.") from None
    except ImageError:
        raise Problem(422, "The image is damaged or cut off; send another copy of it.") from None
