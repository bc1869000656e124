"""Tar files of images, as WebDataset and a plain `tar` write them."""

import itertools
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

NOT_ASKED = "another image of its sample than the one asked for"
_TAR_END = 1024  # bytes of 0 that a tar file ends with
_MOST_WAITING = 64  # images of one key at a time, before those whose own label is known go


def read_tar(
    file: IO[bytes], path: str, columns: Columns, whole: bool, left_out: dict[str, str]
) -> Iterator[tuple[Member, bytes]]:
    """Yield the images of a tar file as `containers.stream` does; `whole`: with their bytes."""
    file.seek(-min(_TAR_END, size := file.seek(0, os.SEEK_END)), os.SEEK_END)
    if any(file.read()):  # told before all of it is read
        raise ContainerError(f"{path}: cut short, or no tar file (it does not end with zeros)")
    file.seek(0)
    ending, taken = f".{columns.label or 'cls'}".lower(), dict[str, int]()
    wanted = f".{columns.image or ''}".lower()
    try:
        sample = _Sample(above := _above_classes(file), wanted)
        file.seek(0)
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
                    sample = _Sample(above, wanted)
                sample.names.add(name)
                sample.key = _key(name)
                if name.lower().endswith(ending):
                    sample.labels[stem := name[: -len(ending)]] = as_label(_content(archive, info))
                    if stem in sample.gone:
                        left_out[name] = NO_IMAGE_BESIDE
                elif is_named_as_image(name) and (wanted == "." or name.lower().endswith(wanted)):
                    place = (info.offset_data, info.size)
                    sample.images.append((name, place, _content(archive, info) if whole else b""))
                    if len(sample.images) > _MOST_WAITING:
                        yield from sample.known(taken, len(sample.images) - 1)
                else:
                    sample.others.append(name)
            yield from sample.ended(taken, left_out)
            _check_end(file, path, archive.offset, size)
    except ContainerError:
        raise
    except (tarfile.TarError, EOFError, ValueError) as error:  # the last: of numbers that are none
        raise ContainerError(f"{path}: damaged, or no tar file ({reason(error)})") from error


def _check_end(file: IO[bytes], path: str, place: int, size: int) -> None:
    """Raise ContainerError unless a tar file has its end, zeros up to that of the file, at a place.

    tarfile takes for the end what is cut off between two members, a damaged header, and the end of the first
    of two archives in one file.
    """
    file.seek(place)
    if place >= size:
        raise ContainerError(f"{path}: cut short (it does not end with a block of zeros)")
    while block := file.read(1 << 20):
        if any(block):
            told = "damaged, or several archives in one file; pack them anew, as one"
            raise ContainerError(f"{path}: more after the end of the archive, at byte {place:,}: {told}")


class _Sample:
    """The members of a tar file that stand together and have one key: WebDataset's sample."""

    def __init__(self, above: str, wanted: str) -> None:
        self.above, self.wanted = above, wanted
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
        return name.removeprefix(self.above).rpartition("/")[0].partition("/")[0]

    def ended(self, taken: dict[str, int], left_out: dict[str, str]) -> Iterator[tuple[Member, bytes]]:
        if not self.images:
            left_out.update((name, NO_IMAGE_BESIDE) for name in self.names)
        own = [image for image in self.images if image[0][len(self.key) :].lower() == self.wanted]
        if own:  # a.png, and not a.mask.png, of a.cls
            left_out.update((name, NOT_ASKED) for name, *_ in self.images if name not in {own[0][0]})
            self.images = own
        yield from self.known(taken, len(self.images))


def _above_classes(file: IO[bytes]) -> str:
    """Return the folders that all images lie in and folders in them, as `data/` of a packed folder `data`."""
    common: list[str] | None = None
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            archive.members.clear()  # type: ignore[attr-defined] # as above
            name = clean(info.name)
            if not info.isreg() or not is_named_as_image(name) or f"/{name}".find("/.") >= 0:
                continue
            folders = name.split("/")[:-2]
            same = zip(folders, folders if common is None else common, strict=False)
            common = [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], same)]
            if not common:
                break
    return "".join(f"{folder}/" for folder in common or ())


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    assert opened is not None  # a regular file
    return opened.read()
