"""Reading many images with threads, ahead of who uses them."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from deep_ranking.images.decode import ImageError, read_image


class ImageBatch(NamedTuple):
    """Some images of a list.

    Attributes:
        positions: (n,) int64, where the images stand in the list.
        images: (n, height, width, 3) uint8 RGB.
        failures: those of this stretch that could not be read, as (position, error).
    """

    positions: np.ndarray
    images: np.ndarray
    failures: list[tuple[int, ImageError]]


def load_batches(
    paths: Sequence[str | os.PathLike[str]],
    size: tuple[int, int],
    batch_size: int,
    workers: int | None = None,
) -> Iterator[ImageBatch]:
    """Yield the images of a list in order; the next two batches are decoded meanwhile.

    Args:
        paths: the images.
        size: (height, width) in pixels.
        batch_size: paths a batch, 1 or more.
        workers: threads; None takes one a core. Pillow decodes outside Python's lock.

    A broken image does not end the run: it stands in its batch's `failures`.
    """

    def read(path: str | os.PathLike[str]) -> np.ndarray | ImageError:
        try:
            return read_image(path, size)
        except ImageError as error:
            return error

    ahead: deque[tuple[int, list[Future]]] = deque()

    def finished() -> ImageBatch:
        first, futures = ahead.popleft()
        return _batch(first, futures, size)

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        for first in range(0, len(paths), batch_size):
            part = paths[first : first + batch_size]
            ahead.append((first, [pool.submit(read, path) for path in part]))
            if len(ahead) > 2:
                yield finished()
        while ahead:
            yield finished()


def _batch(first: int, futures: list[Future], size: tuple[int, int]) -> ImageBatch:
    results = [(first + i, future.result()) for i, future in enumerate(futures)]
    failures = [(i, result) for i, result in results if isinstance(result, ImageError)]
    good = [(i, result) for i, result in results if not isinstance(result, ImageError)]
    images = np.stack([image for _, image in good]) if good else np.empty((0, *size, 3), np.uint8)
    return ImageBatch(np.array([i for i, _ in good], np.int64), images, failures)
