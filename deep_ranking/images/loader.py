"""Reading many images with threads, ahead of who uses them."""

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from numbers import Integral
from typing import NamedTuple

import numpy as np

from deep_ranking.errors import expect
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import ImageError, Source, read_image
from deep_ranking.images.forms import take_notices

logger = logging.getLogger(__name__)


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
    paths: Sequence[Source],
    size: tuple[int, int],
    batch_size: int,
    workers: int | None = None,
    cache: ImageCache | None = None,
) -> Iterator[ImageBatch]:
    """Yield the images of a list in order; the next two batches are decoded meanwhile.

    Args:
        paths: the images, as paths or as whatever else `read_image` takes. An array that has the size
            already stays as it is, floats too.
        size: (height, width) in pixels.
        batch_size: paths a batch, 1 or more.
        workers: threads; None takes one a core. Pillow decodes outside Python's lock.
        cache: keeps what was decoded; its size is `size`.

    A broken image does not end the run: it stands in its batch's `failures`. What the decoder noticed, of
    colour profiles and deep grey, is told at the end as a warning, with counts.
    """

    for name, value, least in ("batch_size", batch_size, 1), ("workers", workers or 0, 0):
        whole = isinstance(value, Integral) and value >= least
        expect(name, whole, f"a whole number of {least} or more", value)

    def read(path: Source) -> np.ndarray | ImageError:
        try:
            if isinstance(path, np.ndarray) and path.shape[:2] == tuple(size):
                return path
            if cache is not None and isinstance(path, str | os.PathLike):
                return cache.read(path)
            return read_image(path, size)
        except ImageError as error:
            return error

    def finished() -> ImageBatch:
        first, futures = ahead.popleft()
        results = list(enumerate(chain.from_iterable(future.result() for future in futures), first))
        failures = [(place, found) for place, found in results if isinstance(found, ImageError)]
        good = [(place, found) for place, found in results if not isinstance(found, ImageError)]
        images = np.stack([image for _, image in good]) if good else np.empty((0, *size, 3), np.uint8)
        return ImageBatch(np.array([place for place, _ in good], np.int64), images, failures)

    ahead: deque[tuple[int, list[Future]]] = deque()
    workers = workers or _core_count()
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(paths), batch_size):
            part = paths[first : first + batch_size]
            share = -(-len(part) // workers)  # a task a thread: small images cost less than handing over
            shares = [part[start : start + share] for start in range(0, len(part), share)]
            ahead.append((first, [pool.submit(lambda some: list(map(read, some)), some) for some in shares]))
            if len(ahead) > 2:
                yield finished()
        while ahead:
            yield finished()
    for told in take_notices():
        logger.warning("%s", told)


def _core_count() -> int:
    if hasattr(os, "sched_getaffinity"):  # those this process may use; not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
