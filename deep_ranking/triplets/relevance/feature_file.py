"""The file of feature matrices."""

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deep_ranking.arrays import read_arrays
from deep_ranking.errors import DeepRankingError


def read_features(path: str | os.PathLike[str], images: Sequence[str]) -> dict[str, NDArray]:
    """Return the features of images from an `.npz` file, a matrix of len(images) rows for each name.

    The file has `paths`, text of shape (n,), and any number of matrices of n rows; a file of embeddings
    (`paths` and `vectors`) is one. Images are found by their path; more than asked for do no harm.

    Raises:
        DeepRankingError: the file is no such one, or lacks an image.
        OSError: the file cannot be read.
    """
    name = os.fspath(path)
    arrays = read_arrays(path)
    if "paths" not in arrays:
        raise DeepRankingError(f"{name}: expected an array `paths`, found {', '.join(arrays) or 'none'}")
    paths = arrays.pop("paths")
    if paths.dtype.kind != "U" or paths.ndim != 1:
        raise DeepRankingError(
            f"{name}: paths: expected text of shape (images,), found {paths.dtype} of shape {paths.shape}"
        )
    row = {str(image): number for number, image in enumerate(paths)}
    matrices = {key: values for key, values in arrays.items() if values.ndim == 2}
    if not matrices:
        raise DeepRankingError(f"{name}: expected a matrix of features beside `paths`, found none")
    missing = [image for image in images if image not in row]
    if missing:
        raise DeepRankingError(
            f"{name}: lacks {len(missing)} of {len(images)} images, the first: {missing[0]}; compute it again"
        )
    for key, values in matrices.items():
        if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise DeepRankingError(
                f"{name}: {key!r}: expected finite numbers, found others; compute it again"
            )
        if len(values) != len(row):
            raise DeepRankingError(
                f"{name}: {key!r} has {len(values)} rows for {len(row)} paths; compute it again"
            )
    rows = np.array([row[image] for image in images], np.int64)
    return {key: values[rows] for key, values in matrices.items()}
