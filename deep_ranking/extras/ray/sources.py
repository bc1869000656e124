"""Where images come from on a cluster: files, tar and Parquet files of many images, here or behind a URL."""

import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason
from deep_ranking.files import as_text
from deep_ranking.images.find import find_images
from deep_ranking.search.image import CONTAINERS, is_named_as_image
from deep_ranking.search.labels import label_of

_BYTES = ("bytes", "image")
_TAR_END = 1024  # bytes of 0 that a tar file ends with
_ROWS = 64  # of a table at a time; of large photographs, a gigabyte at the most


class ContainerError(DeepRankingError):
    """A tar or Parquet file that cannot be read as one with images."""


class Source(NamedTuple):
    """One file with an image, or with many.

    Attributes:
        path: relative to the root, `/` between folders.
        size: bytes.
        mtime: time of the last change, ns.
    """

    path: str
    size: int
    mtime: int

    @property
    def is_container(self) -> bool:
        """Whether it holds many images."""
        return self.path.endswith(CONTAINERS)


class Encoded(NamedTuple):
    """One image as it stands in its source.

    Attributes:
        path: the source's, or for a container `CONTAINER/NAME`.
        content: the encoded bytes.
        label: a text, "" where there is none.
    """

    path: str
    content: bytes
    label: str

    @property
    def hash(self) -> bytes:
        """SHA-256 of the bytes, as `files.file_hash` gives it for a file."""
        return hashlib.sha256(self.content).digest()


def file_system(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a folder or a URL, and the path within it.

    Raises:
        MissingExtraError: fsspec, or what it needs for this kind of URL, is not installed.
        DeepRankingError: no such kind of URL.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("fsspec", "cluster", "reading from a URL") from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DeepRankingError(f"{url}: cannot be opened ({reason(error)})") from error
    return system, path.rstrip("/")


def absolute_root(root: str | os.PathLike[str]) -> str:
    """Return a folder as an absolute path, also where it is given as a `file://` URL; other URLs as they are.

    Example:
        >>> absolute_root("s3://bucket/photos/"), absolute_root("file:///photos")
        ('s3://bucket/photos', '/photos')
    """
    name = os.fspath(root).removeprefix("file://")
    return name.rstrip("/") if "://" in name else str(Path(name).resolve())


def find_sources(root: str, on_skip: Callable[[str], None] | None = None) -> list[Source]:
    """List the sources below a folder or a URL, sorted by path.

    In a local folder a file counts as an image by its content, as in `find_images`; behind a URL by its
    ending, since nothing is opened there. Hidden files and folders are passed over.

    Args:
        root: as `absolute_root` returns it.
        on_skip: called with the path of each file that is neither an image nor a container.

    Raises:
        DeepRankingError: there is no such folder.
    """
    found = _below_url(root, on_skip) if "://" in root else _below_folder(Path(root), on_skip)
    return sorted(found)


def read_source(root: str, source: Source) -> Iterator[Encoded]:
    """Yield the images of a source.

    - A tar file's members that are named as images; the label is the text of `NAME.cls` beside `NAME.jpg`
      (WebDataset's way), else the first folder of the name.
    - A Parquet file's rows: encoded images in a column `bytes` or `image` (or in the field `bytes` of it);
      names in `path`, else the row's number; labels in `label`.

    Raises:
        ContainerError: the file is damaged, or a table without images.
        OSError: it cannot be read.
    """
    system, base = file_system(root)
    place = f"{base}/{source.path}"
    if not source.is_container:
        yield Encoded(source.path, system.cat_file(place), label_of(source.path))
        return
    with system.open(place, "rb") as file:
        read = _read_tar if source.path.endswith(".tar") else _read_table
        for name, content, label in read(file, source.path):
            yield Encoded(f"{source.path}/{name}", content, label)


def _below_folder(root: Path, on_skip: Callable[[str], None] | None) -> Iterator[Source]:
    others: list[str] = []
    images = find_images(root, others.append)
    for path in [*images, *(path for path in others if path.endswith(CONTAINERS))]:
        status = (root / path).stat()
        yield Source(path, status.st_size, status.st_mtime_ns)
    if on_skip is not None:
        for path in others:
            if not path.endswith(CONTAINERS):
                on_skip(path)


def _below_url(root: str, on_skip: Callable[[str], None] | None) -> Iterator[Source]:
    system, base = file_system(root)
    try:
        found = system.find(base, detail=True)
    except Exception as error:  # each kind of storage has errors of its own
        raise DeepRankingError(f"{root}: cannot be listed ({reason(error)})") from error
    for place, info in found.items():
        path = place.removeprefix(base).lstrip("/")
        if any(part.startswith(".") for part in path.split("/")):
            continue
        if path.endswith(CONTAINERS) or is_named_as_image(path):
            yield Source(path, int(info["size"] or 0), _changed(info))
        elif on_skip is not None:
            on_skip(path)


def _changed(info: dict[str, Any]) -> int:
    """Return the time of the last change in ns from a listing's entry; each kind of storage names it anew."""
    names = ("mtime", "LastModified", "last_modified", "updated", "created")
    when = next((info[name] for name in names if info.get(name)), 0)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return int((when.timestamp() if isinstance(when, datetime) else when) * 1e9)


def _read_tar(file: IO[bytes], path: str) -> Iterator[tuple[str, bytes, str]]:
    key, label, waiting = "", "", list[tuple[str, bytes]]()
    file.seek(-min(_TAR_END, file.seek(0, os.SEEK_END)), os.SEEK_END)
    if any(file.read()):  # tarfile takes a header that is cut short for the end
        raise ContainerError(f"{path}: cut short, or no tar file (it does not end with zeros)")
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                if not member.isreg():
                    continue
                name = member.name.removeprefix("./")
                if member.issparse():  # of any size that its header tells, whatever the file holds
                    raise ContainerError(f"{path}: {name!r} is sparse; pack it without --sparse")
                if _key(name) != key:  # members of one key stand together
                    yield from ((n, content, label or label_of(n)) for n, content in waiting)
                    key, label, waiting = _key(name), "", []
                if name.endswith(".cls"):
                    label = _content(archive, member).decode("utf-8", "replace").strip()
                elif is_named_as_image(name):
                    waiting.append((name, _content(archive, member)))
    except ContainerError:
        raise
    except (tarfile.TarError, EOFError, ValueError) as error:  # the last: of numbers that are none
        raise ContainerError(f"{path}: damaged, or no tar file ({reason(error)})") from error
    yield from ((n, content, label or label_of(n)) for n, content in waiting)


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    assert opened is not None  # a regular file
    return opened.read()


def _read_table(file: IO[bytes], path: str) -> Iterator[tuple[str, bytes, str]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
        names = table.schema_arrow.names
        images = next((name for name in _BYTES if name in names), None)
        if images is None:
            raise ContainerError(
                f"{path}: expected a column named {' or '.join(_BYTES)}, found {', '.join(names)}"
            )
        columns = [images, *(name for name in ("path", "label") if name in names)]
        number = 0
        for batch in table.iter_batches(_ROWS, columns=columns):
            for row in batch.to_pylist():
                found = row[images]
                content = (found.get("bytes") if isinstance(found, dict) else found) or b""
                if not isinstance(content, bytes):
                    kind = type(content).__name__
                    raise ContainerError(f"{path}: expected encoded images in {images!r}, found {kind}")
                yield _text(row.get("path")) or str(number), content, _text(row.get("label"))
                number += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:  # Arrow's own are OSErrors too
        raise ContainerError(f"{path}: damaged, or no Parquet file ({reason(error)})") from error


def _text(value: Any) -> str:
    """Return a name or a label of a table, which may be bytes; "" where there is none."""
    if value is None:
        return ""
    return as_text(value) if isinstance(value, bytes) else str(value)
