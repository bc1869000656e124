"""The small map on top of an index's vectors that was learned from ratings; it is kept with the index."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, reason

KEY = "learned"
"""Of an index's metadata: the text of the map; "" where there is none."""

_BLOCK = 2**13  # vectors mapped at once


@dataclass(frozen=True, eq=False)
class Stretch:
    """Stretches vectors along some directions: y = |x| z / |z|, z = x + V ((f - 1) * V^T x).

    So a vector keeps its length, and all that stands at a right angle to the directions stays as it is. The
    squared distance of stretched vectors, before the length is put back, is that of a Mahalanobis metric.

    Args:
        axes: V, (d, k) float32, orthonormal columns.
        factors: f, (k,) float32, each above 0, so that no two images become one.
        told: what was learned from, for people: finite numbers by name.

    Raises:
        DeepRankingError: they are anything else.

    Example:
        >>> flat = Stretch(np.array([[1.0], [0.0]], np.float32), np.array([3.0], np.float32))
        >>> flat(np.array([[0.6, 0.8], [0.0, 2.0]], np.float32)).round(3)
        array([[0.914, 0.406],
               [0.   , 2.   ]], dtype=float32)
    """

    axes: NDArray[np.float32]
    factors: NDArray[np.float32]
    told: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fits = self.axes.ndim == 2 and self.factors.shape == self.axes.shape[1:]
        if not (fits and np.isfinite(self.axes).all() and np.isfinite(self.factors).all()):
            raise DeepRankingError("learned map: expected finite axes (d, k) and factors (k,), found others")
        if not (self.factors > 0).all():
            raise DeepRankingError("learned map: expected factors above 0, found others")

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, d) vectors stretched, (n, d) float32."""
        vectors = np.asarray(vectors, np.float32)
        moved = np.empty_like(vectors)
        for start in range(0, len(vectors), _BLOCK):
            some = vectors[start : start + _BLOCK]
            found = some + ((some @ self.axes) * (self.factors - 1)) @ self.axes.T
            before, after = (np.linalg.norm(x, axis=1, keepdims=True) for x in (some, found))
            moved[start : start + _BLOCK] = found * (before / np.maximum(after, 1e-30))
        return moved

    def to_text(self) -> str:
        """Return what an index keeps."""
        numbers = {name: _text(getattr(self, name)) for name in ("axes", "factors")}
        return json.dumps({**numbers, "told": dict(self.told)})

    @classmethod
    def from_text(cls, text: str, dimension: int) -> "Stretch | None":
        """Return the map that `to_text` told of, for vectors of this dimension; None for an empty text.

        Raises:
            DeepRankingError: it is none.
        """
        if not text:
            return None
        try:
            found: dict[str, Any] = json.loads(text)
            factors = _array(found["factors"])
            axes = _array(found["axes"]).reshape(dimension, len(factors))
            return cls(axes, factors, {str(k): float(v) for k, v in found["told"].items()})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error) as error:
            raise DeepRankingError(
                f"learned map: expected what `learn` keeps, found other text ({reason(error)}); "
                "take it back with: deep-ranking learn PLACE --undo"
            ) from error


def _text(array: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def _array(text: str) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
