"""Why a file is no image is told truly, and whole images are never taken for damaged ones."""

import io
import os
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from deep_ranking.images.content import (
    BROKEN_LINK,
    DAMAGED,
    EMPTY,
    GONE,
    NO_IMAGE,
    NO_PERMISSION,
    RAW,
    SPECIAL,
    TOO_LARGE,
    WEB_PAGE,
    why_no_image,
)
from deep_ranking.images.decode import ImageError, read_image
from deep_ranking.images.find import look_into

SVG = "SVG drawing, not read; export it as PNG"
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))


def saved(kind: str, **options) -> bytes:
    file = io.BytesIO()
    NOISE.save(file, kind, **options)
    return file.getvalue()


def with_preview() -> bytes:
    """A JPEG file whose header holds a whole small JPEG, as those of cameras do."""
    preview, whole = io.BytesIO(), saved("JPEG")
    NOISE.resize((16, 12)).save(preview, "JPEG")
    segment = b"Exif\0\0" + preview.getvalue()
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + whole[2:]


def why(tmp_path, data: bytes, name: str = "a.jpg") -> str | None:
    (tmp_path / name).write_bytes(data)
    return why_no_image(str(tmp_path / name))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF"])
def test_a_whole_image_is_one_and_half_of_it_is_damaged(tmp_path, kind):
    whole = saved(kind)
    assert why(tmp_path, whole) is None
    if kind not in ("BMP", "PPM", "TIFF"):  # whose end can be anything
        assert why(tmp_path, whole[: len(whole) // 2]) == DAMAGED


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 0.99])
def test_a_preview_in_the_header_does_not_make_a_cut_photograph_whole(tmp_path, cut):
    data = with_preview()
    assert why(tmp_path, data) is None
    assert why(tmp_path, data[: int(cut * len(data))]) == DAMAGED


@pytest.mark.parametrize("after", [b"\0", b"SEFT" + bytes(50), b"\0\0\0\x18ftypmp42" + bytes(3_000_000)])
def test_what_a_camera_puts_behind_the_image_is_no_damage_and_nothing_is_decoded(
    tmp_path, monkeypatch, after
):
    monkeypatch.setattr("deep_ranking.images.content.read_image", None)
    assert why(tmp_path, with_preview() + after) is None
    assert why(tmp_path, saved("JPEG", progressive=True) + after) is None


@pytest.mark.parametrize(("kind", "end"), [("JPEG", 2), ("PNG", 12), ("GIF", 1)])
def test_an_image_that_lacks_its_end_alone_is_damaged_only_if_it_cannot_be_read(tmp_path, kind, end):
    path = tmp_path / "a.jpg"
    told = why(tmp_path, saved(kind)[:-end])
    try:
        read_image(path)
    except ImageError:
        assert told == DAMAGED
    else:
        assert told is None


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (b"", "a.jpg", EMPTY),
        (b"text", "a.jpg", NO_IMAGE),
        (b"\x89PNG\r\n\x1a\n", "a.png", DAMAGED),
        (b"\xff\xd8\xff", "a.jpg", DAMAGED),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "a.CR3", RAW),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "a.cr2", RAW),
        (b"MM\0*" + bytes(40), "a.NEF", RAW),
        (b"\0raw of a camera that is not known" + bytes(40), "a.arw", RAW),
        (b"FUJIFILMCCD-RAW " + bytes(40), "a.raf", RAW),
        (b"8BPS" + bytes(40), "a.psd", "Photoshop file, not read; export it as JPEG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "a.jp2", "JPEG 2000, not read; export it as JPEG"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "a.mp4", "video"),
        (b"%PDF-1.7" + bytes(40), "a.jpg", "PDF document"),
        (bytes(1024), "a.tar", "tar file"),
        (b"PAR1", "a.parquet", "Parquet file"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "a.svg", SVG),
        (b"<svg/>", "a.png", SVG),
        (b"\n<!DOCTYPE html><title>404</title>", "a.jpg", WEB_PAGE),
        (b"<html></html>", "index.html", NO_IMAGE),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "a.jpg",
            "Git LFS stands for it; get the file with: git lfs pull",
        ),
        (saved("TGA"), "a.TGA", "image of a format that is not read (.tga); export it as JPEG or PNG"),
        (saved("ICO"), "a.ico", "image of a format that is not read (.ico); export it as JPEG or PNG"),
        (saved("EPS"), "a.eps", "image of a format that is not read (.eps); export it as JPEG or PNG"),
        (b"this is text", "a.hdr", NO_IMAGE),
    ],
)
def test_each_kind_has_its_reason(tmp_path, data, name, told):
    assert why(tmp_path, data, name) == told


def test_too_many_pixels_are_told_before_anything_is_decoded(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    png = saved("PNG")
    png = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
    assert why(tmp_path, png, "a.png") == TOO_LARGE


def test_what_was_removed_since_it_was_listed_is_no_broken_link(tmp_path):
    assert why_no_image(str(tmp_path / "removed.png")) == GONE
    (tmp_path / "link.png").symlink_to("removed.png")
    assert why_no_image(str(tmp_path / "link.png")) == BROKEN_LINK


def test_what_cannot_be_opened_says_why_and_what_must_not_be_is_not(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        NOISE.save(tmp_path / folder / "1.png")
    (tmp_path / "a/gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "a/self.jpg").symlink_to("self.jpg")
    (tmp_path / "a/secret.jpg").touch()
    os.mkfifo(tmp_path / "a/pipe.png")
    (tmp_path / "a/linked.png").symlink_to("pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)
        listening.bind("a/socket.png")
        (tmp_path / "a/device.png").symlink_to("/dev/zero")
        real, opened = os.open, []

        def opens(path, *flags, **more):
            opened.append(os.path.basename(path))  # noqa: PTH119
            if str(path).endswith("secret.jpg"):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *flags, **more)

        monkeypatch.setattr(os, "open", opens)
        found = look_into(".")
    assert found.images == ["a/1.png", "b/1.png"]
    assert found.left_out == {
        "a/gone.jpg": BROKEN_LINK,
        "a/self.jpg": "link that leads to itself",
        "a/secret.jpg": NO_PERMISSION,
        "a/pipe.png": SPECIAL,
        "a/linked.png": SPECIAL,
        "a/socket.png": SPECIAL,
        "a/device.png": SPECIAL,
    }
    assert sorted(opened) == ["1.png", "1.png", "secret.jpg"]
