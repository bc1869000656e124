"""What turns images into vectors, as search asks for it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from deep_ranking.errors import DeepRankingError


class Embedder(Protocol):
    """What turns images into vectors: a network, or anything else."""

    @property
    def dimension(self) -> int:
        """The number of coordinates of a vector."""

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the vectors would."""

    def embed(
        self, images: Sequence[Any], /, *, quiet: bool = True
    ) -> tuple[np.ndarray, Sequence[tuple[Any, Exception]]]:
        """Return (n, dimension) float32 of the readable images, and `(image, error)` of the others.

        An image is a path or its encoded bytes.
        """


EmbedderOrMaker = Embedder | Callable[[], Embedder]


def check_embedder(value: Any) -> None:
    """Raise DeepRankingError unless this is an embedder, or a function or a class that makes one."""
    if not (callable(value) or hasattr(value, "embed")):
        raise DeepRankingError(
            f"expected a loaded model, or a function that loads one, found {type(value).__name__}"
        )


def made(embedder: EmbedderOrMaker) -> Embedder:
    """Return the embedder, made now if it is a function or a class that makes one.

    Raises:
        DeepRankingError: it is neither, or makes none.
    """
    found: Any = embedder
    if callable(found) and (isinstance(found, type) or not hasattr(found, "embed")):
        found = found()
    check_embedder(found)
    return found  # type: ignore[no-any-return]
