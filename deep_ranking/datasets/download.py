"""Downloads that go on where they stopped, and are checked."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from deep_ranking.errors import DeepRankingError
from deep_ranking.progress import progress

_BLOCK = 1 << 18
_RANGE_NOT_SATISFIABLE = 416


class DownloadError(DeepRankingError):
    """A download that did not succeed; the message says why, what is kept, and what to do."""


def download(url: str, target: str | os.PathLike[str], md5: str, timeout: float = 30) -> Path:
    """Download a file, unless it is there already, and check it.

    What has come so far lies in `target` + `.part`; a later call asks the server for the rest only.

    Args:
        url: http or https.
        target: the file to write; it appears once it is whole and checked.
        md5: its checksum, 32 hexadecimal digits: a guard against damage, not against forgery.
        timeout: seconds without an answer after which to give up.

    Raises:
        DownloadError: no connection, an error from the server, or a wrong checksum.
        OSError: the file cannot be written.
    """
    path = Path(target)
    if path.exists():
        _check(path, md5, "move it away and run again")
        return path
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _fetch(url, part, timeout)
    except KeyboardInterrupt as stop:
        stop.add_note(f"the same command goes on with what is kept in {part}")
        raise
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if not isinstance(error, urllib.error.URLError) and getattr(error, "filename", None) is not None:
            raise  # it is the file that cannot be written, not the line that fails
        reason = getattr(error, "reason", None) or error
        kept = part.stat().st_size if part.exists() else 0
        raise DownloadError(
            f"cannot download {url} ({reason}); "
            + (f"{kept / 1e6:,.1f} MB are kept in {part}: " if kept else "check the connection, ")
            + "run again to go on, or get the file another way and pass it with --archive"
        ) from error
    try:
        _check(part, md5, "it was removed; run again")
    except DownloadError:
        part.unlink()
        raise
    return part.replace(path)


def _fetch(url: str, part: Path, timeout: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == _RANGE_NOT_SATISFIABLE and have:
                return  # nothing is left to fetch; the checksum tells whether that is true
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            have = 0  # a server that knows no ranges begins again
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as file,
            progress([], f"downloading {part.stem}", "B", total) as bar,
        ):
            bar.unit, bar.unit_scale = "B", True
            bar.update(have)
            while block := response.read(_BLOCK):
                file.write(block)
                have += len(block)
                bar.update(len(block))
    if total is not None and have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _check(path: Path, md5: str, remedy: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise DownloadError(f"{path}: expected the MD5 checksum {md5}, found {found}; {remedy}")
