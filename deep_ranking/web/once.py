"""What is computed once for each version of the index."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from deep_ranking.web.gallery import Gallery

T = TypeVar("T")


class OncePerVersion(Generic[T]):
    """Remembers the result for the newest gallery; who asks meanwhile waits for it.

    Args:
        make: computes it.
    """

    def __init__(self, make: Callable[[Gallery], T]):
        self._make, self._lock = make, Lock()
        self._of: Gallery | None = None
        self._value: T

    def __call__(self, gallery: Gallery) -> T:
        """Return the result for a gallery."""
        with self._lock:
            if self._of is not gallery:
                self._value, self._of = self._make(gallery), gallery
            return self._value
