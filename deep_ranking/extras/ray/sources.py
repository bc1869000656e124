"""Where images come from on a cluster: files, tar and Parquet files of many images, here or behind a URL."""

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from deep_ranking.containers import CONTAINERS, is_named_as_image, stream
from deep_ranking.errors import DeepRankingError, MissingExtraError, reason
from deep_ranking.images.find import BY_DESIGN, look_into
from deep_ranking.search.labels import label_of


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
      names in `path`, else the row's number; labels in `label`, by their names where the file has them.

    Of two with one name, the second is `NAME~2.ENDING`.

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
        folder = None if "://" in root else str(Path(place).parent)
        for member, content in stream(file, source.path, folder):
            yield Encoded(f"{source.path}/{member.name}", content, member.label)


def _below_folder(root: Path, on_skip: Callable[[str], None] | None) -> Iterator[Source]:
    found = look_into(root, containers=False)
    others = sorted(path for path, why in found.left_out.items() if not why.startswith(BY_DESIGN))
    for path in [*found.images, *(path for path in others if path.endswith(CONTAINERS))]:
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
