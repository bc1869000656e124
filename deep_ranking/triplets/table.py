"""A triplet file in memory: 12 bytes a triplet, each distinct image once."""

import hashlib
import os
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from deep_ranking.containers import is_contained
from deep_ranking.errors import DeepRankingError
from deep_ranking.files import as_on_disk
from deep_ranking.triplets.file import TripletFileError, numbered_triplets, write_blocks
from deep_ranking.triplets.uniform import UniformSampler


@dataclass(frozen=True)
class Triplets:
    """Triplets as positions in a list of images.

    Args:
        images: path of each distinct image, as it can be opened, in the order of first appearance.
        rows: (n, 3) int32, query, positive, negative as positions in `images`, in the file's order.
        fingerprint: SHA-256 of the triplets, 64 hexadecimal digits.
    """

    images: list[str]
    rows: np.ndarray
    fingerprint: str

    def __len__(self) -> int:
        """Return the number of triplets."""
        return len(self.rows)

    def _repr_html_(self) -> str:
        import deep_ranking  # what draws lies above; it is asked for by its public name, when a notebook asks

        return str(deep_ranking.show(self)._repr_html_())

    def epoch(self, number: int) -> np.ndarray:
        """Return the rows: a file has the same triplets in each epoch."""
        return self.rows

    @property
    def description(self) -> dict[str, Any]:
        """What a model file tells of the data that it was trained on."""
        return {"count": len(self), "images": len(self.images), "sha256": self.fingerprint}

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], root: str | os.PathLike[str], given: Collection[str] = ()
    ) -> "Triplets":
        """Read a triplet file whose images lie under `root`.

        Args:
            path: the triplet file.
            root: folder of the data set; see `find_image` for the names that are understood.
            given: images, relative to `root`, that are not looked for on the disk; with some, `root` need not
                be there.

        Raises:
            TripletFileError: a bad line, or one that names an image that is not there.
            DeepRankingError: the file is missing or holds no triplet, or the folder is missing.
        """
        path = Path(path)
        if not path.is_file():
            raise DeepRankingError(
                f"{path}: expected a triplet file, found none; write one with: deep-ranking sample dataset"
            )
        root = as_on_disk(os.fspath(root))
        if not given and not Path(root).is_dir():
            raise DeepRankingError(
                f"{os.fspath(root)}: expected the folder of the images, found none; "
                "draw a small set with: deep-ranking prepare demo --output dataset"
            )
        positions: dict[str, int] = {}
        by_path: dict[str, int] = {}
        images: list[str] = []
        flat = array("i")
        digest = hashlib.sha256()
        for line, triplet in numbered_triplets(path):
            for name in triplet:
                position = positions.get(name)
                if position is None:
                    found = _named_in(given, root, name) or find_image(root, name)
                    if found is None:
                        raise TripletFileError(
                            path,
                            line,
                            f"no image {name!r}; looked for it in the folder {root}{_meant(root, name)}",
                        )
                    position = by_path.setdefault(os.path.normpath(found), len(images))
                    positions[name] = position
                    if position == len(images):
                        images.append(found)
                flat.append(position)
            if flat[-1] == flat[-2] or flat[-1] == flat[-3] or flat[-2] == flat[-3]:
                told = "expected three images, found one of them twice, which nothing can be learned from"
                raise TripletFileError(path, line, f"{told}: {', '.join(triplet)}")
            digest.update(_digested(triplet))
        if not flat:
            raise DeepRankingError(f"{path}: expected triplets, found none; sample more, or another folder")
        return cls(images, np.frombuffer(flat, np.intc).reshape(-1, 3), digest.hexdigest())

    @classmethod
    def sample(
        cls,
        folder: str | os.PathLike[str],
        positives: int = 10,
        negatives: int = 5,
        seed: int = 0,
        balance: Literal["images", "classes"] = "images",
    ) -> "Triplets":
        """Sample triplets of a folder's classes, the same that `triplet_sampler.py` writes by the same seed.

        Each image is a query, gets positives of its own class and, for each of them, negatives of others.

        Args:
            folder: one sub-folder a class.
            positives: of a query, 1 or more.
            negatives: of a (query, positive) pair, 1 or more.
            seed: the same seed gives the same triplets in the same order.
            balance: whether each image or each class is as often the query; see `UniformSampler`.

        Raises:
            DeepRankingError: the folder is missing, or its classes do not suffice; see `UniformSampler`.
        """
        import deep_ranking  # what finds images lies above; it is asked for by its public name

        sampler = UniformSampler(deep_ranking.find_classes(folder), positives, negatives, seed, balance)
        positions = np.concatenate(list(sampler.blocks()))
        found, first, rows = np.unique(positions, return_index=True, return_inverse=True)
        order = np.argsort(first)  # of first appearance, as in a file
        names = [sampler.images[position] for position in found[order]]
        rows = np.argsort(order)[rows].reshape(-1, 3).astype(np.intc)
        digest = hashlib.sha256()
        for row in rows.tolist():
            digest.update(_digested(names[image] for image in row))
        root = os.fspath(folder)
        return cls([os.path.join(root, name) for name in names], rows, digest.hexdigest())  # noqa: PTH118

    def save(self, path: str | os.PathLike[str], root: str | os.PathLike[str]) -> None:
        """Write the triplets to a file, whole or not at all, compressed where its name ends in `.gz`.

        Args:
            path: the triplet file.
            root: what names in the file are relative to; an image elsewhere is named by its absolute path.

        Raises:
            OSError: the file cannot be written.
        """
        write_blocks(path, [_name_below(root, image) for image in self.images], [self.rows])


def _name_below(root: str | os.PathLike[str], image: str) -> str:
    name = os.path.relpath(image, root)
    return os.path.abspath(image) if name.startswith(os.pardir) else name.replace(os.sep, "/")  # noqa: PTH100


def _digested(names: Iterable[str]) -> bytes:
    """Return a line of names as it enters a fingerprint."""
    return "\0".join(names).encode("utf-8", "surrogateescape") + b"\n"


def _named_in(given: Collection[str], root: str, name: str) -> str | None:
    for known in (os.path.normpath(name), os.path.relpath(name, root or ".")) if given else ():
        if (known := known.replace(os.sep, "/")) in given:
            return os.path.join(root, known)  # noqa: PTH118
    return None


def find_image(root: str | os.PathLike[str], name: str) -> str | None:
    """Return the path of an image that a triplet file names, or None.

    Understood are paths relative to `root`, absolute ones, and the blog's, which began with the input
    directory as it was given to its sampler: relative to the current folder, or to where `root` lies.
    """
    root = os.fspath(root)
    # Path objects would cost more than the look-up: this runs once for each of up to millions of images.
    for folder in (root, "", os.path.dirname(os.path.abspath(root))):  # noqa: PTH100, PTH120
        path = os.path.join(folder, name)  # noqa: PTH118
        if os.path.isfile(path) or is_contained(path):  # noqa: PTH113
            return path
    for folder in (root, "") if not name.isascii() else ():  # it may be typed in another form of Unicode
        path = as_on_disk(os.path.join(folder, name))  # noqa: PTH118
        if os.path.isfile(path):  # noqa: PTH113
            return path
    return None


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their classes.

    Args:
        images: path of each image, as it can be opened.
        labels: (n,) int64, the class of each.
        fingerprint: SHA-256 of names and classes, 64 hexadecimal digits.

    Example:
        >>> LabelledImages.of({"cat": ["cat/1.png"], "dog": ["dog/1.png", "dog/2.png"]}, "pets").labels
        array([0, 1, 1])
    """

    images: list[str]
    labels: NDArray[np.int64]
    fingerprint: str

    @classmethod
    def of(cls, classes: Mapping[str, Sequence[str]], root: str | os.PathLike[str]) -> "LabelledImages":
        """Return the images of classes, as `images.find_classes` gives them, class by class.

        Args:
            classes: class name -> its images, relative to `root`.
            root: folder of the data set.
        """
        digest = hashlib.sha256()
        for members in classes.values():
            digest.update(_digested(members))
        # Path objects would cost more than all else here: there may be millions of images.
        images = [os.path.join(root, name) for members in classes.values() for name in members]  # noqa: PTH118
        labels = np.repeat(np.arange(len(classes)), [len(members) for members in classes.values()])
        return cls(images, labels, digest.hexdigest())

    @classmethod
    def of_triplets(cls, table: Triplets) -> "LabelledImages | None":
        """Return the classes that triplets were sampled from; None where they tell of something finer.

        A query and its positive are of one class, and so are all that such pairs join. An image that is a
        negative alone is of a class that is not known, and is left out.

        Example:
            >>> rows = np.array([[0, 1, 2], [2, 3, 0]])
            >>> LabelledImages.of_triplets(Triplets(["a", "b", "c", "d"], rows, "")).labels
            array([0, 0, 1, 1])
            >>> LabelledImages.of_triplets(Triplets(["a", "b", "c"], np.array([[0, 1, 2], [0, 2, 1]]), ""))
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        query, positive, negative = np.asarray(table.rows).T
        shape = (len(table.images),) * 2
        joined = connected_components(coo_array((np.ones(len(query)), (query, positive)), shape), False)[1]
        if (joined[query] == joined[negative]).any():
            return None
        known = np.unique([query, positive])
        labels = np.unique(joined[known], return_inverse=True)[1].astype(np.int64)
        return cls([table.images[i] for i in known], labels, table.fingerprint)

    @property
    def description(self) -> dict[str, Any]:
        """What a model file tells of the data that it was trained on."""
        classes = len(np.unique(self.labels))
        return {"images": len(self.images), "classes": classes, "sha256": self.fingerprint}


def _meant(root: str, name: str) -> str:
    """Return a question after what is there under nearly the name, "" where nothing is."""
    if name.lower() in ("query", "anchor"):
        return "; a heading? begin its line with #"
    if Path(root, name).is_dir():
        return "; that is a folder"
    plain = "/".join(part.strip() for part in name.replace("\\", "/").split("/"))
    folder, last = os.path.split(plain)
    with suppress(OSError):
        here = Path(root, folder)
        near = next((entry for entry in sorted(os.listdir(here)) if entry.lower() == last.lower()), None)  # noqa: PTH208
        return f"; did you mean {os.path.join(folder, near)!r}?" if near else ""  # noqa: PTH118
    return ""


class TripletSource(Protocol):
    """Images, and for each epoch triplets of them.

    Attributes:
        images: path of each image, as it can be opened.
        fingerprint: hexadecimal digits; two sources that differ in a triplet differ in it.
        description: what a model file tells of the data that it was trained on; plain values.
    """

    @property
    def images(self) -> list[str]: ...  # noqa: D102

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    @property
    def description(self) -> dict[str, Any]: ...  # noqa: D102

    def __len__(self) -> int:
        """Return the number of triplets of an epoch."""
        ...

    def epoch(self, number: int) -> NDArray:
        """Return the triplets of an epoch, (n, 3) positions in `images`: the same at each call."""
        ...
