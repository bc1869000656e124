"""The bytes of an indexed image, and of nothing else."""

import hashlib
from pathlib import Path

from deep_ranking.search.image import Image
from deep_ranking.web.problems import Problem

_LARGEST = 1 << 30  # of a file whose size the index does not know


def read_indexed(folder: str | None, image: Image) -> bytes:
    """Read an image's file.

    It is served only while its path leads to a file inside the folder of images (a link may have been put in
    its place) and its content is what was indexed: the hash is taken of the very bytes that are returned, so
    whatever happens to the path meanwhile, nothing else gets out. Images that were put into the index by
    hand, without a size and a time, have no hash of their content; for these the path must do.

    Raises:
        Problem: 404, gone, replaced or changed.
    """
    if folder is None:
        raise Problem(404, "The index does not say in which folder its images are; index the folder again.")
    try:
        root = Path(folder).resolve(strict=True)
        path = (root / image.path).resolve(strict=True)
        if not path.is_relative_to(root):
            raise Problem(404, "The image's path now leads out of the folder of images; it is not served.")
        if not path.is_file():
            raise Problem(404, "The image's path is no longer a file; index the folder again.")
        limit = image.size or _LARGEST
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links
        raise Problem(404, "The image's file is gone or cannot be read; index the folder again.") from None
    by_hand = image.size == 0 and image.mtime == 0
    if len(data) > limit or not (by_hand or hashlib.sha256(data).digest() == image.hash):
        raise Problem(404, "The image's file has changed since it was indexed; index the folder again.")
    return data
