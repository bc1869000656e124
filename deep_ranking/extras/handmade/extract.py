"""The features by name; computing one of many images: in parallel, each content once, wherever it lies."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.extras.handmade.color import LabHistogram
from deep_ranking.extras.handmade.feature import Feature
from deep_ranking.extras.handmade.fisher import FisherVector
from deep_ranking.extras.handmade.hog import Hog
from deep_ranking.extras.handmade.sift import SiftWords
from deep_ranking.extras.handmade.texton import TextonPyramid
from deep_ranking.extras.handmade.wavelet import WaveletSignature
from deep_ranking.files import read_array, written_whole
from deep_ranking.images.decode import ImageError, read_image
from deep_ranking.progress import progress

FEATURES: dict[str, type[Feature]] = {
    kind.name: kind for kind in (WaveletSignature, LabHistogram, SiftWords, FisherVector, Hog, TextonPyramid)
}
"""The features by name, in the order of the paper's Table 1."""


@dataclass(frozen=True)
class Cache:
    """A folder of `.npy` files; a file's name is the digest of what its array was computed from.

    Any file may be deleted at any time; one that is cut short or no array is computed again.

    Args:
        folder: made when it is first written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = Cache(Path(folder))
        ...     cache.put("abc", np.ones(2, np.float32))
        ...     cache.get("abc"), cache.get("abd")
        (array([1., 1.], dtype=float32), None)
    """

    folder: Path

    def get(self, key: str) -> np.ndarray | None:
        """Return the array of a key, or None."""
        try:
            return read_array(self._path(key))
        except (OSError, DeepRankingError):
            return None

    def put(self, key: str, array: np.ndarray) -> None:
        """Keep an array; its file is whole or not there."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            np.save(temporary, array, allow_pickle=False)

    def _path(self, key: str) -> Path:
        return Path(self.folder) / key[:2] / f"{key[2:]}.npy"


def extract(
    feature: Feature,
    paths: Sequence[str | os.PathLike[str]],
    cache: Cache | None = None,
    workers: int = 2,
    quiet: bool = False,
) -> np.ndarray:
    """Compute a feature of images.

    Args:
        feature: fitted, where it needs a codebook.
        paths: of the images.
        cache: where vectors are looked up and kept, by the image's bytes and the feature's fingerprint.
        workers: threads (NumPy and the filters work outside Python's lock).
        quiet: no progress.

    Returns:
        (len(paths), feature.dimension) float32, in the order of the paths.

    Raises:
        DeepRankingError: an image cannot be read, or the feature needs a codebook and has none.
    """
    from joblib import Parallel, delayed

    if workers < 1:
        raise DeepRankingError(f"workers: expected 1 or more, found {workers}")
    fingerprint = feature.fingerprint()
    vectors = np.empty((len(paths), feature.dimension), np.float32)
    tasks = (delayed(_one)(feature, fingerprint, Path(path), cache) for path in paths)
    found = Parallel(n_jobs=workers, prefer="threads", return_as="generator")(tasks)
    for row, vector in enumerate(progress(found, feature.name, "images", len(paths), quiet)):
        vectors[row] = vector
    return vectors


def _one(feature: Feature, fingerprint: str, path: Path, cache: Cache | None) -> np.ndarray:
    try:
        data = path.read_bytes()
        if cache is None:
            return feature.compute(read_image(data))
        key = hashlib.sha256(hashlib.sha256(data).digest() + fingerprint.encode()).hexdigest()
        vector = cache.get(key)
        if vector is None or vector.shape != (feature.dimension,) or vector.dtype != np.float32:
            vector = feature.compute(read_image(data))
            cache.put(key, vector)
        return vector
    except FileNotFoundError:
        raise ImageError(f"{path}: no such image") from None
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
