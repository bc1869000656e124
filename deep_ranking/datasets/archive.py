"""ZIP archives from elsewhere: checked whole before anything is written, then unpacked within bounds."""

import lzma
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.progress import progress

MAX_MEMBERS = 2_000_000
MAX_MEMBER_BYTES = 256 * 2**20
MAX_TOTAL_BYTES = 16 * 2**30
"""What an archive may unpack to: far above any image data set of this kind, far below a bomb."""

_DAMAGED = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, OverflowError, UnicodeDecodeError),
)
"""What `zipfile` raises of archives that are damaged."""

_DRIVE = re.compile("[A-Za-z]:")


class ArchiveError(DeepRankingError):
    """An archive that cannot or must not be unpacked; the message names it and the member."""


@contextmanager
def open_archive(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP archive all of whose members are safe to unpack.

    Raises:
        ArchiveError: missing, not a ZIP archive or damaged (also found out while the block reads it); or a
            member would leave the folder it is unpacked to (`..`, absolute, drive letter), is a link or a
            device, is encrypted, stands there twice, or is too large.
    """
    name = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(name, archive.infolist())
            yield archive
    except FileNotFoundError as error:
        if error.filename != name:
            raise
        raise ArchiveError(f"{name}: no such archive; check the path") from None
    except _DAMAGED as error:
        raise ArchiveError(
            f"{name}: expected a whole ZIP archive, found one that is damaged or something else "
            f"({reason(error)}); get it again"
        ) from error


def unpack(
    archive: zipfile.ZipFile, targets: Mapping[str, str], folder: str | os.PathLike[str], description: str
) -> None:
    """Unpack members of an archive from `open_archive` into a folder.

    Args:
        archive: where the members are.
        targets: for each member wanted, the relative path it gets.
        folder: where to; sub-folders are made.
        description: what the progress bar says.

    Raises:
        ArchiveError: a member cannot be read, two get the same path, or the disk is too full for them.
        OSError: a file cannot be written.
    """
    needed = sum(archive.getinfo(member).file_size for member in targets)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ArchiveError(
            f"{archive.filename}: unpacks to {needed / 1e6:,.0f} MB, found {free / 1e6:,.0f} MB free; "
            "make room"
        )
    made = set()
    for member, target in progress(targets.items(), description, "files", len(targets)):
        path = Path(folder) / target
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        try:
            # zipfile never yields more than the declared size, and checks the sum at the end.
            with archive.open(member) as source, path.open("xb") as file:
                shutil.copyfileobj(source, file)
        except FileExistsError:
            raise ArchiveError(f"{archive.filename}: two members would be written to {target!r}") from None
        except _DAMAGED as error:
            raise ArchiveError(
                f"{archive.filename}: the member {member!r} is damaged ({reason(error)}); "
                "get the archive again"
            ) from error


def _check_members(name: str, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS:
        raise ArchiveError(
            f"{name}: {len(members):,} members, more than the {MAX_MEMBERS:,} that are unpacked"
        )
    seen, total = set(), 0
    for member in members:
        if problem := _what_is_unsafe(member):
            raise ArchiveError(
                f"{name}: the member {member.filename!r} {problem}; nothing was unpacked: "
                "get the archive from its own source"
            )
        if member.filename in seen:
            raise ArchiveError(f"{name}: the member {member.filename!r} stands there twice; get it again")
        seen.add(member.filename)
        total += member.file_size
    if total > MAX_TOTAL_BYTES:
        raise ArchiveError(
            f"{name}: unpacks to {total / 2**30:,.1f} GiB, more than the {MAX_TOTAL_BYTES / 2**30:,.0f} that "
            "are unpacked (a bomb, or another data set)"
        )


def _what_is_unsafe(member: zipfile.ZipInfo) -> str | None:
    path = member.filename.replace("\\", "/")
    if not path:
        return "has no name"
    if path.startswith("/") or _DRIVE.match(path) or ".." in path.split("/"):
        return "would be written outside the output folder"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device, not a file"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > MAX_MEMBER_BYTES:
        return f"is over {MAX_MEMBER_BYTES / 2**20:,.0f} MiB large"
    return None
