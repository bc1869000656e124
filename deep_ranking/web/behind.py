"""What takes long, made behind the page: the network for uploads, and what is computed of an index."""

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.web.problems import Problem

T = TypeVar("T")


class Later:
    """An embedder that is loaded while the page is served already; who embeds meanwhile waits for it.

    Args:
        load: returns the embedder.

    Attributes:
        failed: it could not be loaded; standard error says why.
    """

    def __init__(self, load: Callable[[], Any]):
        self._load, self._loaded, self.failed = load, Future[Any](), False
        # No daemon: a process that ends while the network is loaded would be aborted within the library.
        threading.Thread(target=self._run, name="load network").start()

    def _run(self) -> None:
        try:
            self._loaded.set_result(self._load())
        except BaseException as error:
            self.failed = True
            if not isinstance(error, DeepRankingError):
                self._loaded.set_exception(error)
                raise
            print(f"uploads cannot be searched by: {error}", file=sys.stderr, flush=True)
            told = f"The network cannot be loaded, so only images of the index can be searched by: {error}."
            self._loaded.set_exception(Problem(409, told, "no-model"))

    @property
    def loading(self) -> bool:
        """Whether it is not there yet."""
        return not self._loaded.done()

    def loaded(self) -> Any:
        """Return the embedder once it is there."""
        return self._loaded.result()

    def embed_image(self, image: bytes) -> np.ndarray:
        """Return (dimension,) float32."""
        vector: np.ndarray = self.loaded().embed_image(image)
        return vector


@dataclass
class Made(Generic[T]):
    """What is made behind.

    Attributes:
        value: what there is so far; None at first.
        done: nothing better is to come.
        dropped: nobody asks for it any more.
        problem: why it cannot be had.
        began: by `time.monotonic`.
    """

    value: T | None = None
    done: bool = False
    dropped: bool = False
    problem: str | None = None
    began: float = field(default_factory=time.monotonic)

    def be(self, value: T) -> None:
        """Take the value."""
        self.value = value

    def fill(self, make: Callable[["Made[T]"], None]) -> None:
        """Let `make` fill it in; what goes wrong is its problem, and raised if it is nobody's fault."""
        try:
            make(self)
        except DeepRankingError as error:
            self.problem = str(error)
        except BaseException:
            self.problem = "it failed; the server's log says more"
            raise
        finally:
            self.done = True


class Behind(Generic[T]):
    """Things made once for a key each, and the last few kept.

    Args:
        begin: runs a function, when there is room.
        most: how many are kept.
    """

    def __init__(self, begin: Callable[[Callable[[], None]], None], most: int = 4):
        self._begin, self._most, self._lock = begin, most, threading.Lock()
        self._made: OrderedDict[Hashable, Made[T]] = OrderedDict()

    def __call__(self, key: Hashable, make: Callable[[Made[T]], None]) -> Made[T]:
        """Return what there is for a key; `make` is begun by the first who asks, and fills it in."""
        with self._lock:
            if made := self._made.get(key):
                self._made.move_to_end(key)
                return made
            made = self._made[key] = Made()
            while len(self._made) > self._most:
                self._made.popitem(last=False)[1].dropped = True

        self._begin(lambda: made.fill(make))
        return made
