"""Vectors of images, kept in a store, and those near a query."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.files import file_hash, path_key
from deep_ranking.location import is_address
from deep_ranking.search.image import Image
from deep_ranking.search.options import Options, Results, chosen
from deep_ranking.search.query import (
    EmbedderOrMaker,
    Query,
    check_embedder,
    check_metadata,
    checked_vectors,
    made,
    mean_query,
    read_query,
    several,
    texts,
)
from deep_ranking.search.snapshot import Snapshot
from deep_ranking.search.store import Store
from deep_ranking.search.stores.registry import Place, create_store, open_store, store_exists

if TYPE_CHECKING:
    from deep_ranking.search.groups import Group
    from deep_ranking.search.update import Report


class Index:
    """Vectors of images, searched by image or by vector.

    In a folder, a search sees the index as it was when it was opened, last changed through this object, or
    `refresh`ed; on a server or a cluster, as it is. Other processes may write meanwhile.

    Args:
        store: the open store; use `Index.from_folder`, `Index.open` or `Index.create`.
        embedder: embeds the images that are not in the index: a loaded model (or anything else that does), or
            a function that loads it when there is such an image. It may be set later; None takes the
            description or the model file that the index remembers, if it does.

    Attributes:
        report: what `from_folder` did; None otherwise.

    Raises:
        DeepRankingError: the embedder is neither.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Index.create(folder, 2, "by hand") as index:
        ...     index.add(["a.jpg", "b.jpg", "c.jpg"], [[0, 0], [3, 4], [6, 8]])
        ...     index.search("a.jpg", k=2)
        ...     index.search([6, 7], k=1)
        [Hit(path='a.jpg', distance=0.0, label=''), Hit(path='b.jpg', distance=5.0, label='')]
        [Hit(path='c.jpg', distance=1.0, label='')]
    """

    def __init__(self, store: Store, embedder: EmbedderOrMaker | None = None):
        if embedder is not None:
            check_embedder(embedder)
        self.store = store
        self.embedder = embedder
        self.report: Report | None = None
        self._snapshot: Snapshot | None = None

    @classmethod
    def from_folder(
        cls,
        folder: Place | Sequence[Place],
        model: EmbedderOrMaker | None = None,
        place: Place | None = None,
        quiet: bool = False,
        *,
        exclude: Sequence[str] | None = None,
        labels: Place | None = None,
        forget_missing: bool = False,
    ) -> "Index":
        """Make the index of a folder of images, or of several, or bring it up to date, and open it.

        Only what is new or changed is embedded, as `deep-ranking index` does; `report` says what was done,
        and which images could not be read. Images whose folder is not there now (a disk that is not mounted)
        stay in the index.

        Args:
            folder: of the images, or several; those in folders below are taken too. Folders that an index
                follows already are followed on. Paths are relative to the folder, or to the nearest one
                above several.
            model: embeds them. None takes what the index remembers; a new one, a `Description` fitted on
                these images.
            place: of the index, a folder or the URL of a store; by default beside the (first) folder of
                images, under its name and `.index`: `photos.index` for `photos`.
            quiet: no progress.
            exclude: patterns of names to leave out, as of `find_images`; None: as before.
            labels: `none`; `folders`, the first folder of each path; or a CSV or TSV file of paths and
                labels. None: as before, which is `none` for a new index.
            forget_missing: images whose folder is not there now go.

        Raises:
            DeepRankingError: there is no such folder or no image in it; an index of another model is there;
                none of the images that were in a folder is there, but others are.
        """
        from deep_ranking.search.folder import index_folder

        one = isinstance(folder, str | os.PathLike)
        folders: list[Any] = [folder] if one or folder is None else list(folder)  # type: ignore[arg-type]
        known = all(isinstance(one, str | os.PathLike) and os.fspath(one) for one in folders)
        expect("folder", known and bool(folders), "a folder of images, or several", folder)
        how = {"exclude": exclude, "labels": labels, "forget_missing": forget_missing}
        return index_folder(cls, folders, None if model is None else made(model), place, quiet, **how)  # type: ignore[arg-type]

    @classmethod
    def open(cls, path: Place, embedder: EmbedderOrMaker | None = None) -> "Index":
        """Open the index at `path`.

        Args:
            path: the index's folder, the URL of a store, or a folder of images with its index beside it.
            embedder: as of the class.

        Raises:
            DeepRankingError: there is none, or it cannot be used.
        """
        return cls(open_store(path), embedder)

    @classmethod
    def create(
        cls,
        path: Place,
        dimension: int,
        fingerprint: str,
        metadata: Mapping[str, str] | None = None,
        embedder: EmbedderOrMaker | None = None,
    ) -> "Index":
        """Make an empty index at `path`.

        Args:
            path: the folder, made if missing, or the URL of a store.
            dimension: coordinates of a vector.
            fingerprint: of the model that the vectors come from; vectors of another are refused.
            metadata: anything to keep with it; `images` is the folder that paths are relative to.
            embedder: as of the class.

        Raises:
            IndexExistsError: there is an index already.
            DeepRankingError: the dimension is not positive, or the file of the store is damaged.
        """
        whole = isinstance(dimension, Integral) and dimension >= 1
        expect("dimension", whole, "a whole number of 1 or more", dimension)
        expect("fingerprint", isinstance(fingerprint, str), "a text", fingerprint)
        check_metadata(metadata)
        values = {**(metadata or {}), "dimension": str(dimension), "fingerprint": fingerprint}
        return cls(create_store(path, values), embedder)

    @staticmethod
    def exists(path: Place) -> bool:
        """Tell whether there is an index for `open`."""
        return store_exists(path)

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        raise DeepRankingError(
            f"{self.store.name}: an open index is of the process that opened it, and cannot be pickled or "
            "copied; open it where it is needed, with Index.open"
        )

    @property
    def dimension(self) -> int:
        """Coordinates of a vector."""
        return self.store.dimension

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
            DeepRankingError: the numbers or the shape do not fit, or a coordinate is not finite; a path is
                there twice.
        """
        paths = texts("paths", paths)
        matrix = checked_vectors(vectors, self.dimension)
        labels = [""] * len(paths) if labels is None else texts("labels", labels)
        if not len(paths) == len(matrix) == len(labels):
            raise DeepRankingError(
                f"expected a vector and a label for each of {len(paths)} paths, "
                f"found {len(matrix)} vectors and {len(labels)} labels"
            )
        if len(set(paths)) < len(paths):
            twice = next(path for path, count in Counter(paths).items() if count > 1)
            raise DeepRankingError(f"paths: expected each once, found {twice!r} again; name each image anew")
        images = [
            Image(path, hashlib.sha256(path_key(path) + b"\0" + vector.tobytes()).digest(), 0, 0, label)
            for path, vector, label in zip(paths, matrix, labels, strict=True)
        ]
        self.write(images, {image.hash: vector for image, vector in zip(images, matrix, strict=True)})

    def remove(self, paths: Sequence[str]) -> int:
        """Remove images by path, in one transaction, and return how many were there.

        Raises:
            DeepRankingError: `paths` is no list of paths.
        """
        removed = self.write(remove=texts("paths", paths))
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
        check_metadata(metadata)
        self._snapshot = None
        return self.store.write(images, vectors, remove, metadata)

    def search(
        self, query: Query, k: int | None = 10, options: Options | None = None, **filters: Any
    ) -> Results:
        """Return the images nearest to a query, nearest first; a notebook shows them as pictures.

        Args:
            query: an image (a path, a PIL image or its encoded bytes), a path in the index, a vector
                (dimension,), or several of these, of which the mean is taken (scaled back to length 1 if all
                have length 1).
            k: how many; None for all that the options allow.
            options: which images may be found, and how; see `Options`.
            filters: the same by name, in place of `options`: `label="cats"`, `within=0.5` and so on.

        Raises:
            DeepRankingError: the image is neither in the index nor can it be embedded; a wrong dimension.
        """
        options = chosen(k, options, filters)
        if isinstance(query, np.ndarray):  # with nothing else to look up
            found = self.snapshot.search(self._resolve(query)[0][None], k, options)[0]
            return Results(found, self.metadata.get("images", ""))
        queries = several(query)
        vectors, contents = zip(*map(self._resolve, queries), strict=True)
        left_out = set(contents) - {None} if options.leave_self_out else ()
        hits = self.snapshot.search(mean_query(vectors), k, options, left_out)[0]
        named = [os.fsdecode(query) for query in queries if isinstance(query, str | os.PathLike)]
        return Results(hits, self.metadata.get("images", ""), named)

    def vectors(self, queries: Query) -> np.ndarray:
        """Return the vectors of one query or of several, (n, dimension) float32.

        Queries are as `search` takes them, their vectors as they are compared: where the index has learned
        from ratings, what was given as a vector, and is as the model gives it, is moved as all others are.

        Raises:
            DeepRankingError: as by `search`.
        """
        return np.stack([self._resolve(query)[0] for query in several(queries)])

    def search_batch(
        self,
        queries: Sequence[Sequence[float]] | np.ndarray,
        k: int = 10,
        options: Options | None = None,
        **filters: Any,
    ) -> list[Results]:
        """Return the nearest images of each of many vectors; faster than one after the other.

        Args:
            queries: (m, dimension).
            k: how many for each.
            options: as in `search`; vectors have no self to leave out.
            filters: as in `search`.

        Raises:
            DeepRankingError: no such vectors.
        """
        expect("k", k is not None, "how many to look for", k)
        options = chosen(k, options, filters)
        found = self.snapshot.search(
            self.snapshot.moved(checked_vectors(queries, self.dimension)), k, options
        )
        return [Results(hits, self.metadata.get("images", "")) for hits in found]

    def duplicates(
        self, within: float | None = None, quiet: bool = False, verify: bool = False
    ) -> "list[Group]":
        """Return the groups of images that are copies of one picture; see `find_duplicates`."""
        from deep_ranking.search.duplicates import find_duplicates

        return find_duplicates(self.snapshot, within, quiet, self.metadata.get("images", ""), verify)

    def check_model(self, fingerprint: str, dimension: int) -> None:
        """Raise DeepRankingError unless the index was made with the model of this fingerprint."""
        if fingerprint != self.metadata["fingerprint"] or dimension != self.dimension:
            model = self.metadata.get("model", "")
            if Path(model).is_file() and file_hash(model).hex() == fingerprint:
                raise DeepRankingError(
                    f"{self.store.name}: made with {model} as it was before it was trained anew; distances "
                    "by the old and by the new one cannot be compared: index the images at another place, "
                    "or put the old model back"
                )
            raise DeepRankingError(
                f"{self.store.name}: made with the model {self.metadata['fingerprint']}"
                f" ({self.dimension} coordinates), found the model {fingerprint} ({dimension} coordinates);"
                " their distances cannot be compared: use that model, delete the index, or choose another"
                " place for it"
            )

    def _resolve(self, query: Any) -> tuple[np.ndarray, bytes | None]:
        """Return a query's vector, and the content hash of an image."""
        found = read_query(query, self.dimension)
        if isinstance(found, np.ndarray):
            return self.snapshot.moved(found[None])[0], None
        name, image, content = found
        if content is None:
            content = self.snapshot.content(name) or self.snapshot.content(self.snapshot.spelled(name))
        if content is None:
            what = "a folder" if name and Path(name).is_dir() else "neither"
            what = "an address; download the image first" if is_address(name) else what
            raise DeepRankingError(f"{name}: expected an image file or a path in the index, found {what}")
        vector = self.snapshot.vector(content)
        if vector is None:
            vector = self.snapshot.moved(self._embed(name, image)[None])[0]
        return vector, content

    def _embed(self, name: str, image: str | bytes) -> np.ndarray:
        if self.embedder is None:
            if not {"description", "model"} & set(self.metadata):
                raise DeepRankingError(
                    f"{name}: not in the index, and the index was opened without an embedder to embed it; "
                    "pass the model when it is opened"
                )
            import deep_ranking  # what embeds lies above; it is asked for by its public name

            self.embedder = deep_ranking.embedder_of(self.metadata)
        self.embedder = made(self.embedder)
        self.check_model(self.embedder.fingerprint, self.embedder.dimension)
        vectors, failures = self.embedder.embed([image], quiet=True)
        if failures:
            raise failures[0][1]
        return checked_vectors(vectors, self.dimension)[0]
