"""Tar files of images, as WebDataset and a plain `tar` write them."""

import os
import tarfile
from collections.abc import Iterator
from typing import IO

from deep_ranking.containers.member import (
    HIDDEN,
    NO_IMAGE_BESIDE,
    Columns,
    ContainerError,
    Member,
    as_label,
    clean,
    free_name,
    is_named_as_image,
)
from deep_ranking.errors import reason

_TAR_END = 1024  # bytes of 0 that a tar file ends with
_MOST_WAITING = 64  # images of one key at a time, before those whose own label is known go


def read_tar(
    file: IO[bytes], path: str, columns: Columns, whole: bool, left_out: dict[str, str]
) -> Iterator[tuple[Member, bytes]]:
    """Yield the images of a tar file as `containers.stream` does; `whole`: with their bytes."""
    file.seek(-min(_TAR_END, file.seek(0, os.SEEK_END)), os.SEEK_END)
    if any(file.read()):  # tarfile takes a header that is cut short for the end
        raise ContainerError(f"{path}: cut short, or no tar file (it does not end with zeros)")
    file.seek(0)
    ending, sample, taken = f".{columns.label or 'cls'}", _Sample(), dict[str, int]()
    try:
        with tarfile.open(fileobj=file, mode="r|" if whole else "r:") as archive:
            for info in archive:
                archive.members.clear()  # type: ignore[attr-defined] # which would hold all of them
                name = clean(info.name)
                if info.isdir():
                    continue
                if name.startswith(".") or "/." in name:  # as macOS puts ._NAME between a sample's members
                    left_out[name] = HIDDEN
                    continue
                if not info.isreg():
                    left_out[name] = "a link or a device in a tar file"
                    continue
                if info.issparse():  # of any size that its header tells, whatever the file holds
                    raise ContainerError(f"{path}: {name!r} is sparse; pack it without --sparse")
                if not sample.goes_on_with(name):
                    yield from sample.ended(taken, left_out)
                    sample = _Sample()
                sample.names.add(name)
                sample.key = _key(name)
                if name.endswith(ending):
                    sample.labels[stem := name.removesuffix(ending)] = as_label(_content(archive, info))
                    if stem in sample.gone:
                        left_out[name] = NO_IMAGE_BESIDE
                elif is_named_as_image(name) and (
                    columns.image is None or name.endswith(f".{columns.image}")
                ):
                    place = (info.offset_data, info.size)
                    sample.images.append((name, place, _content(archive, info) if whole else b""))
                    if len(sample.images) > _MOST_WAITING:
                        yield from sample.known(taken, len(sample.images) - 1)
                else:
                    sample.others.append(name)
            yield from sample.ended(taken, left_out)
    except ContainerError:
        raise
    except (tarfile.TarError, EOFError, ValueError) as error:  # the last: of numbers that are none
        raise ContainerError(f"{path}: damaged, or no tar file ({reason(error)})") from error


class _Sample:
    """The members of a tar file that stand together and have one key: WebDataset's sample."""

    def __init__(self) -> None:
        self.key, self.names, self.labels = "", set[str](), dict[str, str]()
        self.images: list[tuple[str, tuple[int, int], bytes]] = []
        self.others: list[str] = []
        self.gone: set[str] = set()  # images that went before their label came

    def goes_on_with(self, name: str) -> bool:
        return not self.names or (self.key == _key(name) and name not in self.names)

    def known(self, taken: dict[str, int], count: int) -> Iterator[tuple[Member, bytes]]:
        some, self.images = self.images[:count], self.images[count:]
        for name, place, content in some:
            yield Member(free_name(name, taken), self.label(name), place, name), content

    def label(self, name: str) -> str:
        """Return the label that stands beside an image: NAME's own, or that of what its name begins with."""
        folder, slash, base = name.rpartition("/")
        parts = base.split(".")
        for count in range(len(parts) - 1, 0, -1):
            if (stem := folder + slash + ".".join(parts[:count])) in self.labels:
                return self.labels[stem]
        self.gone.add(name.rpartition(".")[0])
        return folder.partition("/")[0]

    def ended(self, taken: dict[str, int], left_out: dict[str, str]) -> Iterator[tuple[Member, bytes]]:
        if not self.images:
            left_out.update((name, NO_IMAGE_BESIDE) for name in self.names)
        yield from self.known(taken, len(self.images))


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    assert opened is not None  # a regular file
    return opened.read()
