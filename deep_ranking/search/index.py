"""Vectors of images, kept in a store, and those near a query."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.image import Image
from deep_ranking.search.options import Options, Results
from deep_ranking.search.store import Snapshot, Store
from deep_ranking.search.stores import create_store, open_store, store_exists

Query = str | os.PathLike[str] | np.ndarray


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


class Index:
    """Vectors of images, searched by image or by vector.

    In a folder, a search sees the index as it was when it was opened, last changed through this object, or
    `refresh`ed; on a server or a cluster, as it is. Other processes may write meanwhile.

    Args:
        store: the open store; use `Index.open` or `Index.create`.
        embedder: makes the embedder, when an image has to be embedded that is not in the index.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Index.create(folder, 2, "by hand") as index:
        ...     index.add(["a.jpg", "b.jpg", "c.jpg"], [[0, 0], [3, 4], [6, 8]])
        ...     index.search("a.jpg", k=2)
        ...     index.search(np.array([6, 7]), k=1)
        [Hit(path='a.jpg', distance=0.0, label=''), Hit(path='b.jpg', distance=5.0, label='')]
        [Hit(path='c.jpg', distance=1.0, label='')]
    """

    def __init__(self, store: Store, embedder: Callable[[], Embedder] | None = None):
        self.store = store
        self._make_embedder = embedder
        self._embedder: Embedder | None = None
        self._snapshot: Snapshot | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str], embedder: Callable[[], Embedder] | None = None) -> "Index":
        """Open the index at `path`: a folder, or the URL of a store (`deep_ranking.search.stores`).

        Raises:
            DeepRankingError: there is none, or it cannot be used.
        """
        return cls(open_store(path), embedder)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        dimension: int,
        fingerprint: str,
        metadata: Mapping[str, str] | None = None,
        embedder: Callable[[], Embedder] | None = None,
    ) -> "Index":
        """Make an empty index at `path`.

        Args:
            path: the folder, made if missing, or the URL of a store.
            dimension: coordinates of a vector.
            fingerprint: of the model that the vectors come from; vectors of another are refused.
            metadata: anything to keep with it; `images` is the folder that paths are relative to.
            embedder: as in `open`.

        Raises:
            IndexExistsError: there is an index already.
            DeepRankingError: the dimension is not positive, or the file of the store is damaged.
        """
        if dimension < 1:
            raise DeepRankingError(f"dimension: expected 1 or more, found {dimension}")
        values = {**(metadata or {}), "dimension": str(dimension), "fingerprint": fingerprint}
        return cls(create_store(path, values), embedder)

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Tell whether there is an index at `path`, a folder or the URL of a store."""
        return store_exists(path)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dimension(self) -> int:
        """Coordinates of a vector."""
        return int(self.store.metadata["dimension"])

    @property
    def metadata(self) -> Mapping[str, str]:
        """What was given to `create`, and what `write` changed since."""
        return self.store.metadata

    @property
    def snapshot(self) -> Snapshot:
        """The images and vectors that a search sees."""
        if self._snapshot is None:
            self._snapshot = self.store.snapshot()
        return self._snapshot

    def refresh(self) -> None:
        """See what other processes have written since."""
        if self._snapshot is not None and self._snapshot.version != self.store.version():
            self._snapshot = None

    def __len__(self) -> int:
        return len(self.snapshot)

    def add(
        self,
        paths: Sequence[str],
        vectors: Sequence[Sequence[float]] | np.ndarray,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Put vectors under paths, in one transaction; a path that is there already is replaced.

        Args:
            paths: n names; they need not be files.
            vectors: (n, dimension), finite.
            labels: n labels; empty by default.

        Raises:
            DeepRankingError: the numbers or the shape do not fit, or a coordinate is not finite.
        """
        matrix = self._checked(vectors)
        labels = [""] * len(paths) if labels is None else labels
        if not len(paths) == len(matrix) == len(labels):
            raise DeepRankingError(
                f"expected a vector and a label for each of {len(paths)} paths, "
                f"found {len(matrix)} vectors and {len(labels)} labels"
            )
        hashes = [
            hashlib.sha256(path.encode("utf-8", "surrogateescape") + b"\0" + vector.tobytes()).digest()
            for path, vector in zip(paths, matrix, strict=True)
        ]
        self.write(
            [Image(path, h, 0, 0, label) for path, h, label in zip(paths, hashes, labels, strict=True)],
            dict(zip(hashes, matrix, strict=True)),
        )

    def remove(self, paths: Sequence[str]) -> int:
        """Remove images by path, in one transaction, and return how many were there."""
        removed = self.write(remove=paths)
        self.store.sweep()
        return removed

    def write(
        self,
        images: Sequence[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Write to the store, as `Store.write`, and let the next search see it."""
        self._snapshot = None
        return self.store.write(images, vectors, remove, metadata)

    def search(
        self, query: Query | Sequence[Query], k: int | None = 10, options: Options | None = None
    ) -> Results:
        """Return the images nearest to a query, nearest first; a notebook shows them as pictures.

        Args:
            query: an image file, a path in the index, a vector (dimension,), or several of these, of which
                the mean is taken (scaled back to length 1 if all have length 1).
            k: how many; None for all that the options allow.
            options: which images may be found, and how; see `Options`.

        Raises:
            DeepRankingError: the image is neither in the index nor can it be embedded; a wrong dimension.
        """
        if k is not None and k < 1:
            raise DeepRankingError(f"expected 1 result or more to look for, found {k}")
        options = options or Options()
        queries = [query] if isinstance(query, (str, os.PathLike, np.ndarray)) else list(query)
        if not queries:
            raise DeepRankingError("expected at least one query image, found none")
        vectors, contents = zip(*map(self._resolve, queries), strict=True)
        left_out = set(contents) - {None} if options.leave_self_out else ()
        hits = self.snapshot.search(_mean(np.stack(vectors)), k, options, left_out)[0]
        named = [os.fspath(query) for query in queries if not isinstance(query, np.ndarray)]
        return Results(hits, self.metadata.get("images", ""), named)

    def search_batch(
        self, queries: Sequence[Sequence[float]] | np.ndarray, k: int = 10, options: Options | None = None
    ) -> list[Results]:
        """Return the nearest images of each of many vectors; faster than one after the other.

        Args:
            queries: (m, dimension).
            k: how many for each.
            options: as in `search`; vectors have no self to leave out.
        """
        if k < 1:
            raise DeepRankingError(f"expected 1 result or more to look for, found {k}")
        found = self.snapshot.search(self._checked(queries), k, options or Options())
        return [Results(hits, self.metadata.get("images", "")) for hits in found]

    def check_model(self, fingerprint: str, dimension: int) -> None:
        """Raise DeepRankingError unless the index was made with the model of this fingerprint."""
        if fingerprint != self.metadata["fingerprint"] or dimension != self.dimension:
            raise DeepRankingError(
                f"{self.store.name}: made with the model {self.metadata['fingerprint']}"
                f" ({self.dimension} coordinates), found the model {fingerprint} ({dimension} coordinates);"
                " their distances cannot be compared: use that model, or another place for the index"
            )

    def rebind(self, fingerprint: str, dimension: int, metadata: Mapping[str, str] | None = None) -> None:
        """Let an index without images be of another model; one with images stays as it is.

        Args:
            fingerprint: of the model, as in `create`.
            dimension: as in `create`.
            metadata: as in `create`; only what changes.

        Raises:
            DeepRankingError: another process did the same meanwhile.
        """
        if (fingerprint, dimension) != (self.metadata["fingerprint"], self.dimension):
            self._snapshot = None
            self.store.rebind({**(metadata or {}), "dimension": str(dimension), "fingerprint": fingerprint})

    def _resolve(self, query: Query) -> tuple[np.ndarray, bytes | None]:
        """Return a query's vector, and the content hash of an image."""
        if isinstance(query, np.ndarray):
            if query.ndim != 1:
                raise DeepRankingError(f"expected a vector of one axis, found the shape {query.shape}")
            return self._checked(query)[0], None
        name = os.fspath(query)
        content = file_hash(name) if Path(name).is_file() else self.snapshot.content(name)
        if content is None:
            raise DeepRankingError(f"{name}: expected an image file or a path in the index, found neither")
        vector = self.snapshot.vector(content)
        return (self._embed(name) if vector is None else vector), content

    def _embed(self, name: str) -> np.ndarray:
        if self._embedder is None:
            if self._make_embedder is None:
                raise DeepRankingError(
                    f"{name}: not in the index, and the index was opened without an embedder to embed it"
                )
            self._embedder = self._make_embedder()
            self.check_model(self._embedder.fingerprint, self._embedder.dimension)
        vectors, failures = self._embedder.embed([name], quiet=True)
        if failures:
            raise failures[0][1]
        return self._checked(vectors)[0]

    def _checked(self, vectors: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
        matrix = np.ascontiguousarray(np.atleast_2d(np.asarray(vectors, np.float32)))
        if matrix.size == 0:
            return np.zeros((0, self.dimension), np.float32)
        if matrix.ndim != 2 or matrix.shape[1] != self.dimension:
            raise DeepRankingError(
                f"expected vectors of {self.dimension} coordinates, found the shape {matrix.shape}"
            )
        finite = np.isfinite(matrix).all(axis=1)
        if not finite.all():
            number = int(np.argmin(finite))
            raise DeepRankingError(f"expected finite coordinates, found NaN or infinity in vector {number}")
        return matrix


def file_hash(path: str | os.PathLike[str]) -> bytes:
    """Return the SHA-256 of a file's bytes, which tells whether two images are the same file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _mean(vectors: np.ndarray) -> np.ndarray:
    if len(vectors) == 1:
        return vectors
    mean = vectors.mean(axis=0, keepdims=True)
    length = np.linalg.norm(mean)
    if length and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        mean /= length
    return mean.astype(np.float32)
