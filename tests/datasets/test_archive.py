"""No archive writes outside its folder, fills the disk, or leaves half of itself."""

import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from deep_ranking.datasets import archive
from deep_ranking.datasets.archive import ArchiveError, open_archive, unpack


def unpack_all(path: Path, folder: Path) -> None:
    folder.mkdir()
    with open_archive(path) as opened:
        unpack(opened, {name: name for name in opened.namelist()}, folder, "")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "a/../../evil.txt",
        "a/..",
        "/evil.txt",
        "//host/evil.txt",
        "..\\evil.txt",
        "a\\..\\..\\evil.txt",
        "\\evil.txt",
        "C:\\evil.txt",
        "c:evil.txt",
    ],
)
def test_members_that_would_leave_the_folder_are_refused_before_anything_is_written(pack, tmp_path, name):
    path = pack({"fine.txt": "fine", name: "evil"})
    with pytest.raises(ArchiveError) as caught:
        unpack_all(path, tmp_path / "new")
    assert f"{path}: the member {name!r} would be written outside" in str(caught.value)
    assert not any((tmp_path / "new").iterdir())
    assert not list(tmp_path.parent.glob("**/evil.txt"))


@pytest.mark.parametrize("name", ["..a/b..txt", "a..b", "c/d:e.txt", "...", "é/写.txt", "a b/,'\".txt"])
def test_names_that_only_look_odd_are_unpacked(pack, tmp_path, name):
    unpack_all(pack({name: "fine"}), tmp_path / "new")
    assert (tmp_path / "new" / name).read_text() == "fine"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (kind | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'link' is a link or a device"):
        unpack_all(path, tmp_path / "new")


def test_encrypted_members_are_refused(pack, tmp_path):
    path = pack({"secret.txt": "x" * 50})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.find(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"'secret\.txt' is encrypted"):
        unpack_all(path, tmp_path / "new")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_there_twice_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("x.txt", "1")
        opened.writestr("x.txt", "2")
    with pytest.raises(ArchiveError, match=r"'x\.txt' stands there twice"):
        unpack_all(path, tmp_path / "new")


@pytest.mark.parametrize(
    ("limit", "value", "problem"),
    [
        ("MAX_MEMBERS", 2, "3 members, more than the 2"),
        ("MAX_MEMBER_BYTES", 2**20 - 1, "'1.txt' is over 1 MiB large"),
        ("MAX_TOTAL_BYTES", 3 * 2**20 - 1, "unpacks to 0.0 GiB"),
    ],
)
def test_bombs_are_bounded(tmp_path, monkeypatch, limit, value, problem):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in ("1.txt", "2.txt", "3.txt"):
            opened.writestr(name, bytes(2**20))
    unpack_all(path, tmp_path / "fine")
    monkeypatch.setattr(archive, limit, value)
    with pytest.raises(ArchiveError, match=problem):
        unpack_all(path, tmp_path / "new")


def test_a_member_that_says_it_is_smaller_than_it_is_is_bounded(tmp_path):
    """The declared size is what the checks count with, so no member may unpack to more."""
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("x.bin", bytes(50_000_000))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = data.find(signature) + offset
        assert struct.unpack_from("<I", data, place) == (50_000_000,)
        struct.pack_into("<I", data, place, 1000)
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"'x\.bin' is damaged"):
        unpack_all(path, tmp_path / "new")
    assert (tmp_path / "new/x.bin").stat().st_size <= 1000


def test_a_full_disk_is_told_before_writing(pack, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))
    with pytest.raises(ArchiveError, match=r"archive\.zip: unpacks to .* MB free; make room"):
        unpack_all(pack({"a.txt": "long"}), tmp_path / "new")
    assert not any((tmp_path / "new").iterdir())


def test_two_members_for_one_path(pack, tmp_path):
    with open_archive(pack({"a": "1", "b": "2"})) as opened, pytest.raises(ArchiveError, match="two members"):
        unpack(opened, {"a": "x", "b": "x"}, tmp_path, "")


def damaged(data: bytes) -> dict[str, bytes]:
    return {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "text": b"<html>404 Not Found</html>",
        "a changed byte": data.replace(b"content", b"cOntent"),
    }


@pytest.mark.parametrize("how", ["cut", "empty", "text", "a changed byte"])
def test_damaged_archives(pack, tmp_path, how):
    path = pack({"a.txt": "content", "b.txt": "other"})
    path.write_bytes(damaged(path.read_bytes())[how])
    with pytest.raises(ArchiveError, match=r"archive\.zip: .*get (it|the archive) again"):
        unpack_all(path, tmp_path / "new")


def test_missing_archive(tmp_path):
    with (
        pytest.raises(ArchiveError, match=r"gone\.zip: no such archive"),
        open_archive(tmp_path / "gone.zip"),
    ):
        pass
