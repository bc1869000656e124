"""Images in columns: a million in the memory of their names, mapped from a file as they are."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from operator import eq
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from deep_ranking.files import as_text, path_key
from deep_ranking.search.image import Image

_BLOCK = 1 << 14  # rows worked on at once


class Texts(NamedTuple):
    """Byte strings of any length: `blob[starts[i] : starts[i + 1]]` is the one at i."""

    blob: NDArray[np.uint8]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> "Texts":
        """Return them end to end."""
        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum([len(text) for text in texts], out=starts[1:])
        return cls(np.frombuffer(b"".join(texts), np.uint8), starts)

    def some(self, rows: slice) -> list[bytes]:
        """Return those of a range of rows."""
        starts = self.starts[rows.start : rows.stop + 1].tolist()
        data, begin = self.blob[starts[0] : starts[-1]].tobytes(), starts[0]
        return [data[first - begin : end - begin] for first, end in pairwise(starts)]

    def taken(self, rows: NDArray[np.intp]) -> "Texts":
        """Return those of some rows, in their order."""
        lengths = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        blob = np.empty(int(starts[-1]), np.uint8)
        for start in range(0, len(rows), _BLOCK):
            own = slice(start, min(len(rows), start + _BLOCK))
            shift = self.starts[rows[own]] - starts[own]
            places = np.arange(starts[own.start], starts[own.stop]) + np.repeat(shift, lengths[own])
            blob[starts[own.start] : starts[own.stop]] = self.blob[places]
        return Texts(blob, starts)

    def then(self, others: "Texts") -> "Texts":
        """Return these and, after them, others."""
        starts = np.concatenate([self.starts, others.starts[1:] + self.starts[-1]])
        return Texts(np.concatenate([self.blob, others.blob]), starts)


class ImageTable(Sequence[Image]):
    """Images as a sequence that holds no object for each of them.

    Args:
        paths, hashes: of each image.
        numbers: (3, n) int64: sizes, change times and the places of the labels in `labels`.
        labels: the distinct ones.

    Example:
        >>> table = ImageTable.of([Image("a.jpg", b"1", 5, 7, "cat"), Image("b.jpg", b"2", 6, 8, "cat")])
        >>> table[1]
        Image(path='b.jpg', hash=b'2', size=6, mtime=8, label='cat')
        >>> table.rows_of_label()
        {'cat': array([0, 1])}
    """

    def __init__(self, paths: Texts, hashes: Texts, numbers: NDArray[np.int64], labels: Texts):
        self._paths, self._hashes, self._numbers = paths, hashes, numbers
        self._label_texts, self._labels = labels, [*map(as_text, labels.some(slice(0, len(labels.starts))))]

    @classmethod
    def of(cls, images: Iterable[Image]) -> "ImageTable":
        """Return a table of images."""
        if isinstance(images, cls):
            return images
        rows, labels = list(images), dict[str, int]()
        numbers = [(row.size, row.mtime, labels.setdefault(row.label, len(labels))) for row in rows]
        return cls(
            Texts.of([path_key(row.path) for row in rows]),
            Texts.of([row.hash for row in rows]),
            np.ascontiguousarray(np.array(numbers, np.int64).reshape(-1, 3).T),
            Texts.of([*map(path_key, labels)]),
        )

    @classmethod
    def from_arrays(cls, arrays: Sequence[NDArray[Any]]) -> "ImageTable | None":
        """Return the table whose `arrays` these are; None if they are of none."""
        if len(arrays) != 7:
            return None
        paths, path_starts, hashes, hash_starts, numbers, labels, label_starts = arrays
        return cls(
            Texts(paths, path_starts), Texts(hashes, hash_starts), numbers, Texts(labels, label_starts)
        )

    def arrays(self) -> list[NDArray[Any]]:
        """Return what it consists of, to be written."""
        return [*self._paths, *self._hashes, self._numbers, *self._label_texts]

    def __len__(self) -> int:
        return self._numbers.shape[1]

    @overload
    def __getitem__(self, row: int) -> Image: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Image]: ...
    def __getitem__(self, row: int | slice) -> Image | Sequence[Image]:
        """Return an image, or a list of those in a range."""
        if isinstance(row, slice):
            start, stop, step = row.indices(len(self))
            return [self[one] for one in range(start, stop, step)]
        row = range(len(self))[row]
        ((path,), (content,)) = (texts.some(slice(row, row + 1)) for texts in (self._paths, self._hashes))
        size, mtime, label = self._numbers[:, row].tolist()
        return Image(as_text(path), content, size, mtime, self._labels[label])

    def names(self, rows: NDArray[np.intp]) -> Iterator[tuple[str, str]]:
        """Yield the path and the label of each of some rows; no other column is read."""
        blob, starts = self._paths
        places = starts[rows].tolist(), starts[rows + 1].tolist(), self._numbers[2, rows].tolist()
        for begin, end, label in zip(*places, strict=True):
            yield as_text(blob[begin:end].tobytes()), self._labels[label]

    def __iter__(self) -> Iterator[Image]:
        for start in range(0, len(self), _BLOCK):
            rows = slice(start, min(len(self), start + _BLOCK))
            paths, hashes = (texts.some(rows) for texts in (self._paths, self._hashes))
            for path, content, size, mtime, label in zip(
                paths, hashes, *self._numbers[:, rows].tolist(), strict=True
            ):
                yield Image(as_text(path), content, size, mtime, self._labels[label])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def rows_of_label(self) -> dict[str, NDArray[np.intp]]:
        """Return the rows of each label, ascending."""
        codes = self._numbers[2]
        order = np.argsort(codes, kind="stable")
        ends = np.searchsorted(codes[order], np.arange(len(self._labels) + 1))
        rows = (order[first:end] for first, end in pairwise(ends))
        return {label: own for label, own in zip(self._labels, rows, strict=True) if len(own)}

    def rows_of(self, contents: Iterable[bytes]) -> NDArray[np.intp]:
        """Return the rows of the images whose content hashes are among these, ascending."""
        wanted = set(contents)
        keys = np.array([*map(_first_bytes, wanted)], np.uint64)
        rows = np.flatnonzero(np.isin(self._hash_starts, keys)) if wanted else np.arange(0)
        return np.array([row for row in rows.tolist() if self[row].hash in wanted], np.intp)

    @cached_property
    def _hash_starts(self) -> NDArray[np.uint64]:
        blob, starts = self._hashes
        if len(self) and (np.diff(starts) == 32).all():  # SHA-256, as of all files
            return np.ascontiguousarray(blob.reshape(-1, 32)[:, :8]).view(">u8")[:, 0].astype(np.uint64)
        return np.array([_first_bytes(image.hash) for image in self], np.uint64)

    def taken(self, rows: NDArray[np.intp]) -> "ImageTable":
        """Return the table of some rows, in their order, and of their labels."""
        numbers = np.ascontiguousarray(self._numbers[:, rows])
        used = np.bincount(numbers[2], minlength=len(self._labels)) > 0
        numbers[2] = (np.cumsum(used) - 1)[numbers[2]]
        labels = self._label_texts.taken(np.flatnonzero(used))
        return ImageTable(self._paths.taken(rows), self._hashes.taken(rows), numbers, labels)

    def then(self, others: "ImageTable") -> "ImageTable":
        """Return these images and, after them, others."""
        places = {label: place for place, label in enumerate(self._labels)}
        codes = [places.setdefault(label, len(places)) for label in others._labels]
        numbers = others._numbers.copy()
        numbers[2] = np.array(codes, np.int64)[numbers[2]]
        return ImageTable(
            self._paths.then(others._paths),
            self._hashes.then(others._hashes),
            np.concatenate([self._numbers, numbers], axis=1),
            Texts.of([*map(path_key, places)]),
        )


def _first_bytes(content: bytes) -> int:
    return int.from_bytes(content[:8].ljust(8, b"\0"), "big")
