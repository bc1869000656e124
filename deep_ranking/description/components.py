"""Components of what is read: fitted on a folder's images together with what many others had in common."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.blend.learn import Components
from deep_ranking.description.reader import PARTS
from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import read_arrays
from deep_ranking.vectors import unit

PRIOR = Path(__file__).with_name("prior.npz")
PRIOR_WEIGHT = 100.0
"""How many images of the folder what was fitted beforehand counts for."""

COUNTS = {"last": 192, "lower": 192, "colour": 32}
"""How many components of each part."""


class Taste(NamedTuple):
    """How much a part counts, and by which power its components are whitened."""

    weight: float
    power: float


LOOKS = {
    "balanced": {"last": Taste(1.0, 0.1), "lower": Taste(0.35, 0.75), "colour": Taste(0.17, 0.5)},
    "people": {"last": Taste(1.0, 0.0), "lower": Taste(0.4, 0.5), "colour": Taste(0.25, 0.5)},
    "classes": {"last": Taste(1.0, 0.375), "lower": Taste(0.2, 0.75), "colour": Taste(0.05, 0.5)},
}
"""By name, points between what people call similar and what is of one class (docs/experiments.md)."""


class Prior(NamedTuple):
    """The mean of a part over many images, (d,), and rows whose sum of squares is its covariance, (k, d)."""

    mean: NDArray[np.float32]
    rows: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray[np.float32], count: int) -> "Prior":
        """Return the prior of vectors (n, d), their `count` directions of greatest variance."""
        found = Components.fit(vectors, count, rows=len(vectors))
        return cls(found.mean, (found.axes * found(vectors).std(axis=0)).T)


@cache
def load_prior(path: Path = PRIOR) -> dict[str, Prior]:
    """Return what `save_prior` wrote, by part."""
    arrays = read_arrays(path)
    return {
        name: Prior(
            arrays[f"{name}_mean"].astype(np.float32),
            _whole(arrays[f"{name}_rows"], arrays[f"{name}_scale"]).T,
        )
        for name in PARTS
    }


def save_prior(path: Path, priors: Mapping[str, Prior]) -> None:
    """Write a prior of each part, in 8 bits a number; the ending is `.npz`."""
    arrays: dict[str, Any] = {}
    for name, prior in priors.items():
        arrays[f"{name}_mean"] = prior.mean.astype(np.float16)
        arrays[f"{name}_rows"], arrays[f"{name}_scale"] = _in_bytes(prior.rows.T)
    np.savez_compressed(path, **arrays)


@dataclass(frozen=True, eq=False)
class Map:
    """From what is read of an image to its vector, with few numbers, in NumPy.

    y = u(sqrt(w_1) u((x_1 - m_1) A_1), sqrt(w_2) u((x_2 - m_2) A_2), ...), where x_i is a part of what is
    read, u brings to unit length, and A_i, its components, is kept in 8 bits a number: each column as
    integers of -127 to 127, as only its direction counts, and a scale.

    Args:
        weights: of the parts in the squared distance, by name.
        means: (d,) float16 of each part.
        axes: (d, k) int8 of each part.
        scales: (k,) float32 of each part.
    """

    weights: dict[str, float]
    means: dict[str, NDArray[np.float16]]
    axes: dict[str, NDArray[np.int8]]
    scales: dict[str, NDArray[np.float32]]

    def __post_init__(self) -> None:
        found = {
            name: Components(self.means[name].astype(np.float32), _whole(self.axes[name], self.scales[name]))
            for name in self.weights
        }
        object.__setattr__(self, "_components", found)

    @classmethod
    def fit(
        cls,
        parts: Mapping[str, NDArray[np.float32]],
        look: str = "balanced",
        priors: Mapping[str, Prior] | None = None,
    ) -> "Map":
        """Fit on images, any number of them, none too: what was fitted beforehand counts for 100 more.

        Args:
            parts: of what is read, by name, (n, d) float32 of unit length.
            look: a name in `LOOKS`.
            priors: of each part; None takes those that come with the package.
        """
        priors = priors or load_prior()
        expect("look", look in LOOKS, f"one of {', '.join(LOOKS)}", look)
        weights, means, axes, scales = {}, {}, {}, {}
        for name, (weight, power) in LOOKS[look].items():
            found = _fit(np.asarray(parts[name], np.float64), priors[name], COUNTS[name], power)
            weights[name], means[name] = weight, found.mean.astype(np.float16)
            # The part is brought to unit length, so what all its components are divided by does not count.
            axes[name], scales[name] = _in_bytes(found.axes / np.abs(found.axes).max())
        return cls(weights, means, axes, scales)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return sum(part.shape[1] for part in self.axes.values())

    def __call__(self, parts: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the vectors, (n, dimension) float32 of unit length."""
        components: dict[str, Components] = self._components  # type: ignore[attr-defined]
        found = [unit(components[name](parts[name])) * np.float32(w**0.5) for name, w in self.weights.items()]
        return unit(np.concatenate(found, axis=1))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as texts, by part."""
        return {
            name: {
                "weight": weight,
                "mean": _text(self.means[name], "<f2"),
                "scale": _text(self.scales[name], "<f4"),
                "axes": _text(self.axes[name], "i1"),
            }
            for name, weight in self.weights.items()
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Map":
        """Return the map that `to_json` told of.

        Raises:
            DeepRankingError: it is none.
        """
        weights, means, axes, scales = {}, {}, {}, {}
        try:
            for name in PARTS:
                part, width = found[name], PARTS[name]
                weights[name] = float(part["weight"])
                means[name] = _array(part["mean"], "<f2").reshape(width)
                scales[name] = _array(part["scale"], "<f4")
                axes[name] = _array(part["axes"], "i1").reshape(width, len(scales[name]))
            made = cls(weights, means, axes, scales)
            numbers = [
                *weights.values(),
                *(float(np.abs(x).sum()) for x in (*means.values(), *scales.values())),
            ]
            if not (np.isfinite(numbers).all() and min(weights.values()) > 0):
                raise ValueError("numbers that are not finite, or no weights")
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise DeepRankingError(f"components: expected what a description keeps, found {error}") from error
        return made


def _fit(vectors: NDArray[np.float64], prior: Prior, count: int, power: float) -> Components:
    """Return the components of the covariance (n C + w C_0) / (n + w) about the mean of the means alike."""
    total = len(vectors) + PRIOR_WEIGHT
    mean = (vectors.sum(axis=0) + PRIOR_WEIGHT * prior.mean.astype(np.float64)) / total
    beforehand = np.concatenate([prior.rows, [prior.mean - mean]]) * PRIOR_WEIGHT**0.5
    return Components.of_centred(mean, np.concatenate([vectors - mean, beforehand]), count, power, total)


def _in_bytes(axes: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scale = (np.abs(axes).max(axis=0) / 127).astype(np.float32)
    # In one order of memory, whichever the eigenvectors came in: products then round alike.
    return np.ascontiguousarray(np.rint(axes / scale), np.int8), scale


def _whole(axes: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(axes).astype(np.float32) * scale


def _text(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode()


def _array(text: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype)
