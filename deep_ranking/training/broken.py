"""Images that cannot be read: all of them are named before the first step, or left out."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.loader import load_batches
from deep_ranking.progress import progress
from deep_ranking.training.model import Data
from deep_ranking.triplets.table import LabelledImages, Triplets

logger = logging.getLogger(__name__)

_BATCH, _NAMED = 64, 10


def without_broken(
    data: Data, size: tuple[int, int], workers: int, cache: ImageCache | None, leave_out: bool
) -> Data:
    """Return data without images that cannot be read, and without the triplets that name one.

    Args:
        data: what is learned from.
        size: (height, width) in pixels that images are read in.
        workers: threads.
        cache: keeps what was read here for the steps.
        leave_out: go on without them, instead of ending.

    Raises:
        DeepRankingError: some cannot be read and are not to be left out, or triplets are drawn as it goes.
    """
    broken: list[tuple[int, Exception]] = []
    with progress((), "looking at images", "images", len(data.images)) as bar:
        for batch in load_batches(data.images, size, _BATCH, workers, cache):
            broken += batch.failures
            bar.update(len(batch.images) + len(batch.failures))
    if not broken:
        return data
    fixed = isinstance(data, LabelledImages | Triplets)
    tell_broken([error for _, error in broken], len(data.images), leave_out and fixed)
    good = np.ones(len(data.images), bool)
    good[[position for position, _ in broken]] = False
    if isinstance(data, Triplets):
        return replace(data, rows=data.rows[good[data.rows].all(axis=1)])
    assert isinstance(data, LabelledImages)  # tell_broken has ended all else
    images = [image for image, kept in zip(data.images, good, strict=True) if kept]
    return LabelledImages(images, data.labels[good], data.fingerprint)


def tell_broken(errors: Sequence[Exception], count: int, leave_out: bool) -> None:
    """Say which images cannot be read, the first ten by name.

    Raises:
        DeepRankingError: they are not to be left out.
    """
    more = f"; and {len(errors) - _NAMED:,} more" if len(errors) > _NAMED else ""
    told = f"{len(errors):,} of {count:,} images cannot be read: {'; '.join(map(str, errors[:_NAMED]))}{more}"
    if not leave_out:
        raise DeepRankingError(f"{told}; mend or remove them, or go without them: --leave_out_broken")
    logger.warning("left out: %s", told)
