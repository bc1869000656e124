"""TensorFlow's records of images, as TFDS and TF-Slim write them, read without TensorFlow.

A record is its length (8 bytes, little endian), 4 bytes of checksum, the data and 4 more; the data is a
`tf.train.Example`, of whose protocol buffer no more is read here than names, bytes, whole numbers and floats.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deep_ranking.containers.member import ContainerError, as_label
from deep_ranking.datasets.rows import Options, Row, files_of, text_lines
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import split_of

_IMAGES = ("image/encoded", "image")
_TEXTS, _NAMES = ("image/class/text",), ("image/filename", "file_name", "filename")
_BASES = {"label": 0, "image/class/label": 1}
"""Number of the first class: TFDS counts from 0; TF-Slim from 1, its 0 being no class."""

_MOST = 1 << 30


def read_tfrecords(source: Path, options: Options) -> Iterator[Row]:
    """Yield the examples of record files; names come from `label.labels.txt` or `labels.txt` beside them.

    Raises:
        DeepRankingError: no records; a damaged one; an example without the image or the label asked for; one
            class text for two numbers.
    """
    files = files_of(source, r"(?i)\.tfrecord|-of-", "files of records (.tfrecord, or NAME-00000-of-00010)")
    numbers = dict[Any, Any]()  # of the classes that the examples name by a text
    for path in files:
        names = _class_names(path.parent)
        for number, example in enumerate(_examples(path)):
            place = f"{path.name}, record {number}"
            image, label = _one(example, options.image, _IMAGES), options.label
            column = label or next((name for name in (*_BASES, *_TEXTS) if name in example), None)
            group = _one(example, options.group, ())
            for asked in (options.image or _IMAGES[-1] if image is None else None, label, options.group):
                if asked and asked not in example:
                    told = f"expected a feature {asked!r}, found {', '.join(sorted(example))}"
                    raise DeepRankingError(f"{path}, record {number}: {told}")
            text = _one(example, None, _TEXTS) if label is None else None
            value = text or (example.get(column or "") or [None])[0]
            of = example.get(column or "") if text and column in _BASES else None
            if of and numbers.setdefault(text, of) != of:
                told = f"{as_label(text)!r} is the text of the classes {numbers[text][0]} and {of[0]}"
                raise DeepRankingError(f"{path}, record {number}: {told}; --label {column} keeps them apart")
            try:
                label = _named(value, names, _BASES.get(column or "", 0))
            except ContainerError as error:
                raise DeepRankingError(f"{path}, record {number}: {error}") from error
            name = as_label(_one(example, None, _NAMES)).replace("\\", "/").rpartition("/")[2]
            content = image if isinstance(image, bytes) and image else None
            split, why = split_of(path.name), "" if content else "record without an image"
            for kind, used in (("images", (options.image or "", *_IMAGES)), ("labels", (column or "",))):
                if not why and any(len(example.get(name, ())) > 1 for name in used):
                    why = f"several {kind} in one record"
            yield Row(place, content, name, label, split, as_label(group), why)


def _one(example: dict[str, list[Any]], asked: str | None, usual: tuple[str, ...]) -> Any:
    return next((example[name][0] for name in ((asked,) if asked else usual) if example.get(name)), None)


def _named(value: Any, names: dict[int, str] | list[str], base: int) -> str:
    if not isinstance(value, int):
        return as_label(value)
    if isinstance(names, dict):  # which says the numbers itself
        return names.get(value, as_label(value))
    if base and value == 0:
        return ""
    if names and value != -1 and not 0 <= value - base < len(names):
        raise ContainerError(f"expected a class from {base} to {len(names) - 1 + base}, found {value}")
    return as_label(value - base, names) if names and value != -1 else as_label(value)


def _class_names(folder: Path) -> dict[int, str] | list[str]:
    for name in ("label.labels.txt", "labels.txt"):
        if (folder / name).is_file():
            lines = text_lines(folder / name)
            numbered = [re.fullmatch(r"(\d+):(.+)", line) for _, line in lines]
            if all(numbered):
                return {int(found[1]): found[2].strip() for found in numbered if found}
            classes = [line.strip() for _, line in lines]
            if lines[-1][0] != len(lines):  # some readers count it, others do not
                told = "expected a class a line, found a blank line before the last; delete it, or write"
                raise DeepRankingError(f"{folder / name}: {told} NUMBER:NAME in each line")
            if again := [text for text, count in Counter(classes).items() if count > 1]:
                raise DeepRankingError(f"{folder / name}: expected each class once, found {again[0]!r} again")
            return classes
    return []


def _examples(path: Path) -> Iterator[dict[str, list[Any]]]:
    with path.open("rb") as file:
        number = 0
        while head := file.read(12):
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else _MOST
            data = file.read(length + 4) if length < _MOST else b""
            if len(data) < length + 4:
                raise DeepRankingError(
                    f"{path}, record {number}: cut short, compressed, or no file of records"
                )
            try:
                yield _example(data[:-4])
            except (IndexError, ValueError, struct.error) as error:
                raise DeepRankingError(
                    f"{path}, record {number}: expected a tf.train.Example, damaged"
                ) from error
            number += 1


def _example(data: bytes) -> dict[str, list[Any]]:
    """Return the features of a serialized Example: maps from names to bytes, whole numbers or floats."""
    found = {}
    for _, features in _fields(data):
        for _, entry in _fields(_message(features)):
            pair = dict(_fields(_message(entry)))
            values: list[Any] = []
            for kind, listed in _fields(_message(pair.get(2, b""))):
                for _, value in _fields(_message(listed)):
                    values += _values(kind, value)
            found[_message(pair.get(1, b"")).decode()] = values
    return found


def _values(kind: int, value: int | bytes) -> list[Any]:
    if kind == 1 or isinstance(value, int):  # bytes; a whole number that stands alone
        return [value if isinstance(value, bytes) else _signed(value)]
    if kind == 2:
        return list(struct.unpack(f"<{len(value) // 4}f", value))
    numbers, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        numbers.append(_signed(number))
    return numbers


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protocol buffer."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        if key & 7 == 0:
            number, place = _varint(data, place)
            yield key >> 3, number
            continue
        length = {1: 8, 5: 4}.get(key & 7)
        if length is None:
            if key & 7 != 2:
                raise ValueError("no such kind of field")
            length, place = _varint(data, place)
        if place + length > len(data):
            raise ValueError("a field longer than its message")
        yield key >> 3, data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        number, place, shift = number | (byte & 127) << shift, place + 1, shift + 7
        if byte < 128:
            return number, place
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
