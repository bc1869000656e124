"""Parquet files of images, as Hugging Face's datasets and others write them."""

import errno
import itertools
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import IO, Any, NamedTuple

from deep_ranking.containers.member import (
    NO_IMAGE_IN_ROW,
    Columns,
    ContainerError,
    Member,
    as_label,
    clean,
    free_name,
)
from deep_ranking.errors import MissingExtraError, reason

_ROWS, _WINDOW_BYTES = 64, 8 << 20  # of a table, read at a time
_KEPT_BYTES = 128 << 20


class _Layout(NamedTuple):
    image: str
    is_struct: bool
    has_paths: bool
    path: str | None
    label: str | None
    names: list[str] | None
    group: str | None

    @classmethod
    def of(cls, schema: Any, path: str, columns: Columns) -> "_Layout":
        """Tell the columns apart by Hugging Face's metadata, where there is any, and by their names.

        Raises:
            ContainerError: no column of images, or one that is asked for is not there; which one is open.
        """
        import pyarrow

        names = schema.names
        for asked in (columns.image, columns.label, columns.group):
            if asked is not None and asked not in names:
                raise ContainerError(f"{path}: expected a column {asked!r}, found {', '.join(names)}")
        features = _features(schema.metadata or {})
        images = [name for name in names if features.get(name, {}).get("_type") == "Image"]
        usual = [name for name in ("bytes", "image") if name in names]
        image = columns.image or next((name for name in usual if name in images or not images), None)
        if image is None and not images:
            raise ContainerError(f"{path}: expected a column named bytes or image, found {', '.join(names)}")
        if image is None and len(images) > 1:
            raise ContainerError(
                f"{path}: expected one column of images, found {', '.join(images)}; give one to --image of "
                "deep-ranking prepare hf-parquet"
            )
        image = image or images[0]
        classes = [name for name in names if features.get(name, {}).get("_type") == "ClassLabel"]
        label = columns.label or ("label" if "label" in names else classes[0] if len(classes) == 1 else None)
        if label is None and columns.ask and classes:
            raise ContainerError(
                f"{path}: expected one column of labels, found {', '.join(classes)}; --label says which"
            )
        if again := [name for name in (image, label, "path", columns.group) if names.count(name) > 1]:
            raise ContainerError(f"{path}: expected one column {again[0]!r}, found {names.count(again[0])}")
        kind = schema.field(image).type
        is_struct = pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        held = kind.field("bytes").type if is_struct else kind
        if not any(
            getattr(pyarrow.types, f"is_{name}")(held)
            for name in ("binary", "large_binary", "binary_view", "null")
        ):
            raise ContainerError(f"{path}: expected encoded images in {image!r}, found {kind}")
        of = schema.field(label).type if label else pyarrow.null()
        if pyarrow.types.is_nested(of) or pyarrow.types.is_boolean(of):
            if columns.ask:
                raise ContainerError(f"{path}: expected one text or number a row in {label!r}, found {of}")
            label = None  # it is indexed all the same
        own = features.get(label or "", {}).get("names")
        has_paths = is_struct and kind.get_field_index("path") >= 0
        return cls(
            image, is_struct, has_paths, "path" if "path" in names else None, label, own, columns.group
        )


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, dict)} if isinstance(found, dict) else {}


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "data", "reading a Parquet file") from None
    return pyarrow.parquet


def read_table(
    file: IO[bytes], path: str, columns: Columns, whole: bool, left_out: dict[str, str]
) -> Iterator[tuple[Member, bytes]]:
    """Yield the images of a Parquet file as `containers.stream` does; `whole`: with their bytes."""
    parquet = _parquet()
    import pyarrow

    try:
        table = parquet.ParquetFile(file)
        layout = _Layout.of(table.schema_arrow, path, columns)
        taken, number = dict[str, int](), itertools.count()
        for group in range(table.num_row_groups):
            for row, (content, beside, about) in enumerate(_rows(table, group, layout, whole)):
                given, own = as_label(about.get(layout.path)), str(next(number))
                name = free_name(clean(given) or own, taken)
                if content is None and not beside:
                    left_out[name] = NO_IMAGE_IN_ROW
                    if not whole:
                        continue
                label, of = as_label(about.get(layout.label), layout.names), as_label(about.get(layout.group))
                file_beside = beside if content is None else ""
                yield Member(name, label, (group, row), given or beside, of, file_beside), content or b""
    except ContainerError as error:
        raise ContainerError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # Arrow's own are OSErrors too
        raise ContainerError(f"{path}: damaged, or no Parquet file ({reason(error)})") from error


def _rows(
    table: Any, group: int, layout: _Layout, whole: bool
) -> Iterator[tuple[bytes | None, str, dict[str | None, Any]]]:
    """Yield the bytes, the path beside them and the other columns of each row of a group.

    Where they are not wanted, the bytes are not read, unless some are missing.
    """
    import pyarrow.compute

    names = [name for name in dict.fromkeys((layout.path, layout.label, layout.group)) if name]
    read = [layout.image] if whole or _has_nulls(table, group, layout) else []
    if not read and layout.has_paths:
        read = [f"{layout.image}.path"]
    if not read and not names:
        yield from [(b"", "", {})] * table.metadata.row_group(group).num_rows
        return
    for batch in table.iter_batches(_ROWS, row_groups=[group], columns=[*names, *read]):
        about = [batch.column(name).to_pylist() for name in names]
        contents: list[bytes | None] = [b""] * batch.num_rows
        paths = [""] * batch.num_rows
        if read:
            cells = batch.column(layout.image)
            if layout.has_paths:
                paths = [path or "" for path in pyarrow.compute.struct_field(cells, "path").to_pylist()]
            if read == [layout.image]:
                held = pyarrow.compute.struct_field(cells, "bytes") if layout.is_struct else cells
                there = [valid or None for valid in held.is_valid().to_pylist()]
                contents = (
                    [content or None for content in held.to_pylist()] if whole else [t and b"" for t in there]
                )
        for place, (content, path) in enumerate(zip(contents, paths, strict=True)):
            yield content, path, {name: about[i][place] for i, name in enumerate(names)}


def _has_nulls(table: Any, group: int, layout: _Layout) -> bool:
    """Tell whether rows of a group may be without bytes; where the file does not say, they may."""
    found = table.metadata.row_group(group)
    own = f"{layout.image}.bytes" if layout.is_struct else layout.image
    chunks = (found.column(number) for number in range(found.num_columns))
    told = next((chunk.statistics for chunk in chunks if chunk.path_in_schema == own), None)
    return told is None or not told.has_null_count or told.null_count > 0


class _Kept:
    """Images that were read lately, of any tables, up to so many bytes: of a small set, all."""

    def __init__(self, most: int):
        self._most, self._bytes, self._lock = most, 0, threading.Lock()
        self._images: OrderedDict[tuple[object, int, int], bytes] = OrderedDict()

    def get(self, key: tuple[object, int, int]) -> bytes | None:
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
            return self._images.get(key)

    def put(self, key: tuple[object, int, int], image: bytes) -> None:
        with self._lock:
            self._bytes += len(image) - len(self._images.pop(key, b""))
            self._images[key] = image
            while self._bytes > self._most and len(self._images) > 1:
                self._bytes -= len(self._images.popitem(last=False)[1])


_kept = _Kept(_KEPT_BYTES)


class _Table:
    """The images of a Parquet file by their places."""

    def __init__(self, path: str, columns: Columns):
        self._table = _parquet().ParquetFile(path)
        self._layout = _Layout.of(self._table.schema_arrow, path, columns)
        self._lock = threading.Lock()
        self._group, self._next, self._batches = -1, 0, iter(())

    def read(self, group: int, row: int) -> bytes:
        key = (self, group, row)
        if (image := _kept.get(key)) is None:
            with self._lock:
                image = _kept.get(key)  # another thread may have read on
                try:
                    while image is None:
                        image = self._read_on(group, row)
                except Exception as error:  # Arrow raises nearly anything of damaged pages
                    self._group = -1
                    raise OSError(errno.EIO, f"damaged in row group {group}") from error
        return image

    def _read_on(self, group: int, row: int) -> bytes | None:
        """Keep the next images of a group, and return that of a row if it is one of them."""
        if group != self._group or row < self._next:
            about = self._table.metadata.row_group(group)
            rows = _WINDOW_BYTES * about.num_rows // max(1, about.total_byte_size)
            own = f"{self._layout.image}.bytes" if self._layout.is_struct else self._layout.image
            self._batches = self._table.iter_batches(
                max(1, min(_ROWS, rows)), row_groups=[group], columns=[own]
            )
            self._group, self._next = group, 0
        images: Any = next(self._batches).column(0)
        if self._layout.is_struct:
            import pyarrow.compute

            images = pyarrow.compute.struct_field(images, "bytes")
        first, self._next = self._next, self._next + len(images)
        for place, image in enumerate(images.to_pylist(), first):
            _kept.put((self, group, place), image or b"")
        return images[row - first].as_py() or b"" if row < self._next else None


@lru_cache(64)
def table_of(path: str, columns: Columns, size: int, changed: int) -> _Table:
    """Return what reads the images of a Parquet file by their places, while the file is as it was."""
    return _Table(path, columns)
