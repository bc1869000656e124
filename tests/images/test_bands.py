"""Large images are read band by band: the same pixels as all at once, and memory under a ceiling."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from test_decode import drawn_files, encoded, smooth
from waiting import PATIENCE

from deep_ranking.images import bands, memory
from deep_ranking.images.colour import matrix_profile
from deep_ranking.images.decode import ImageError, TooManyPixelsError, read_image, read_thumbnail

ROOT = Path(__file__).parents[2]
WIDE = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)  # Rec.2020


def with_code_points(data: bytes) -> bytes:
    """Say in a PNG that its colours are of Rec.2020 and PQ."""
    body = b"cICP" + bytes([9, 16, 0, 1])
    return data[:33] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


def planes_of(values: np.ndarray) -> bytes:
    """A TIFF of (samples, height, width) uint16, plane after plane, each in two strips."""
    samples, height, width = values.shape
    data, rows = values.astype("<u2").tobytes(), (height + 1) // 2
    row = 2 * width
    starts = [plane * height * row + first * row for plane in range(samples) for first in (0, rows)]
    counts = [rows * row, (height - rows) * row] * samples
    entries = [(256, 4, (width,)), (257, 4, (height,)), (258, 3, (16,) * samples), (259, 3, (1,))]
    entries += [(262, 3, (5 if samples == 4 else 2,)), (273, 4, starts), (277, 3, (samples,))]
    entries += [(278, 4, (rows,)), (279, 4, counts), (284, 3, (2,))]
    table, extra, after = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, kind, numbers in entries:
        packed = struct.pack(f"<{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if tag == 273:
            packed = bytes(4 * len(starts))
            place = after + len(extra)
        inline = len(packed) <= 4
        table += struct.pack("<HHI", tag, kind, len(numbers))
        table += packed.ljust(4, b"\0") if inline else struct.pack("<I", after + len(extra))
        extra += b"" if inline else packed
    body = after + len(extra)
    extra = bytearray(extra)
    struct.pack_into(f"<{len(starts)}I", extra, place - after, *(body + start for start in starts))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + table + bytes(4) + bytes(extra) + data


def files(height: int = 45, width: int = 61) -> dict[str, bytes]:
    """Each way through the decoder that drawn files of `test_decode` do not take."""
    picture = Image.fromarray(smooth(height, width))
    grey, four = picture.convert("L"), picture.convert("RGBA")
    four.putalpha(grey)
    both = grey.copy()
    both.putalpha(grey.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    deep = (np.asarray(picture).astype(np.uint16) * 257).transpose(2, 0, 1)
    profile = matrix_profile(WIDE, 1.8)
    made = {
        "plain": encoded(picture, "PNG"),
        "alpha": encoded(four, "PNG"),
        "grey and alpha": encoded(both, "PNG"),
        "palette and alpha": encoded(grey.convert("P"), "PNG", transparency=bytes(range(256))),
        "grey, one clear": encoded(grey, "PNG", transparency=100),
        "colours, one clear": encoded(picture, "PNG", transparency=(0, 0, 0)),
        "black and white": encoded(picture.convert("1"), "PNG"),
        "profile": encoded(picture, "PNG", icc_profile=profile),
        "profile and alpha": encoded(four, "PNG", icc_profile=profile),
        "grey of a profile": encoded(grey, "PNG", icc_profile=profile),
        "HDR": with_code_points(encoded(picture, "PNG")),
        "HDR and alpha": with_code_points(encoded(four, "PNG")),
        "CMYK": encoded(picture.convert("CMYK"), "TIFF"),
        "Lab": encoded(ImageCms.applyTransform(picture, lab()), "TIFF"),
        "whole numbers": encoded(Image.fromarray(np.asarray(grey).astype(np.int32) * 90 - 5000), "TIFF"),
        "WebP": encoded(picture, "WEBP", quality=90),
        "WebP and alpha": encoded(four, "WEBP", lossless=True),
        "AVIF": encoded(picture, "AVIF", quality=90),
        "AVIF and alpha": encoded(four, "AVIF", quality=90),
        "moving GIF": encoded(grey, "GIF", save_all=True, append_images=[grey.rotate(9)], transparency=3),
        "three planes": planes_of(deep),
        "four planes": planes_of(np.concatenate([deep, deep[:1]])),
    }
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[274] = orientation
        made[f"turned {orientation}"] = encoded(four, "PNG", exif=exif)
    return made


def lab():
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(*profiles, "RGB", "LAB")


FILES = files() | drawn_files()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [61, 400])
def test_bands_give_the_pixels_of_the_whole(monkeypatch, name, part):
    """The oracle is Pillow, on all of the image at once; its own resize goes another way in tall images."""
    data = FILES[name]
    whole = read_image(data)
    jpeg = name.startswith("JPEG")  # of which the decoder makes a smaller one first
    for module in (bands, memory):
        monkeypatch.setattr(module, "PART", part)
    np.testing.assert_array_equal(read_image(data), whole)
    for size in () if jpeg else ((20, 28), (64, 48), (whole.shape[0], 7), (9, whole.shape[1])):
        expected = Image.fromarray(whole).resize(size[::-1], Image.Resampling.BILINEAR)
        off = np.abs(read_image(data, size).astype(int) - np.asarray(expected))
        assert off.max() <= (whole.shape[0] > whole.shape[1])
        assert (off > 0).mean() < 0.05
    for longest in () if jpeg else (5, 11, 30, 500):
        small = Image.fromarray(whole)
        small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        found = read_thumbnail(data, longest)
        assert (found.mode, found.size) == ("RGB", small.size)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(small))


@pytest.mark.parametrize("shape", [(300, 2), (2, 300), (299, 101), (64, 64), (1, 1), (7, 300)])
@pytest.mark.parametrize("longest", [1, 3, 40, 64])
def test_a_thumbnail_has_the_size_that_pillow_gives_it(monkeypatch, shape, longest):
    image = Image.effect_noise(shape, 60).convert("RGBA")
    data, small = encoded(image, "PNG"), image.convert("RGB")
    small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    monkeypatch.setattr(bands, "PART", 50)
    np.testing.assert_array_equal(np.asarray(read_thumbnail(data, longest)), np.asarray(small))


def test_colours_of_12_bits_in_16_are_refused_in_bands_too(monkeypatch):
    """Though one band alone may be as dark."""

    def sixteen(last: int) -> bytes:
        values = np.full((40, 30, 3), 900, ">u2")
        values[-1] = last
        body = b"".join(b"\0" + row.tobytes() for row in values)
        header = struct.pack(">IIBBBBB", 30, 40, 16, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )

    monkeypatch.setattr(bands, "PART", 60)
    for read in (lambda data: read_image(data, (8, 8)), read_image, lambda data: read_thumbnail(data, 9)):
        with pytest.raises(ImageError, match="12 bits or fewer in 16"):
            read(sixteen(4000))
        read(sixteen(60_000))


def test_planes_that_are_cut_are_refused():
    whole = planes_of(np.zeros((3, 20, 30), np.uint16))
    assert read_image(whole).shape == (20, 30, 3)
    for cut in (2, 61, 1300):
        with pytest.raises(ImageError):
            read_image(whole[:-cut])


PEAKS = """
import json, os, sys
from pathlib import Path
from deep_ranking.images.decode import read_image, read_thumbnail
def highest():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
first, *paths = sys.argv[1:]
read_image(first, (8, 8)), read_thumbnail(first, 4)
for path in paths:
    for read in (lambda path: read_image(path, (224, 224)), lambda path: read_thumbnail(path, 640)):
        Path("/proc/self/clear_refs").write_text("5")
        before = highest()
        read(path)
        print(json.dumps([Path(path).name, highest() - before]))
"""
BYTES = {"WebP": 12, "WebP and alpha": 12, "AVIF": 11, "AVIF and alpha": 11}
"""That a pixel takes at most, by what is decoded, where it is not 4 and a quarter; as `memory` has it."""
UNIFORM = 60e6
"""Bytes that one takes beside: bands, tables of colours, what allocators keep."""


def test_the_memory_that_a_large_image_takes_has_a_ceiling(tmp_path):
    peaks(tmp_path, 2400)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_memory_that_the_largest_image_takes_has_a_ceiling(tmp_path):
    """88 million pixels; of formats whose readers keep more, as many as are read."""
    for name, most in peaks(tmp_path, 9380).items():
        assert most < memory.MOST_BYTES, name


def peaks(tmp_path, side: int) -> dict[str, int]:
    """Read large images in a new process, and return the most that each took."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the peak of memory is read from /proc, which is not here")
    sides = {name: min(side, int((memory.MOST_BYTES / each) ** 0.5)) for name, each in BYTES.items()}
    made = large(side, sides)
    (tmp_path / "first").write_bytes(encoded(Image.new("RGBA", (9, 9)), "PNG"))
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, "first", *made],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = {}
    for name, peak in map(json.loads, done.stdout.splitlines()):
        found[name] = max(found.get(name, 0), peak)
    assert found.keys() == made.keys()
    for name, peak in found.items():
        pixels = sides.get(name, side) ** 2
        assert peak < BYTES.get(name, 4.25) * pixels + UNIFORM, (name, peak / pixels)
    return found


def large(side: int, sides: dict[str, int]) -> dict[str, bytes]:
    """Flat images, which cost as much memory as any and are written at once."""
    rgb, rgba = Image.new("RGB", (side, side), "navy"), Image.new("RGBA", (side, side), (9, 90, 200, 99))
    exif = Image.Exif()
    exif[274] = 6
    fast = {"compress_level": 1}
    grey = Image.new("L", (side, side), 77)
    profile = matrix_profile(WIDE, 1.8)
    made = {
        "alpha": encoded(rgba, "PNG", **fast),
        "turned": encoded(rgba, "PNG", exif=exif, **fast),
        "palette and alpha": encoded(grey.convert("P"), "PNG", transparency=bytes(range(256)), **fast),
        "colours, one clear": encoded(rgb, "PNG", transparency=(0, 0, 0), **fast),
        "profile": encoded(rgb, "PNG", icc_profile=profile, **fast),
        "grey of a profile": encoded(grey, "PNG", icc_profile=profile, **fast),
        "HDR": with_code_points(encoded(rgb, "PNG", **fast)),
        "floats": encoded(Image.new("F", (side, side), 0.5), "TIFF", compression="tiff_lzw"),
        "16 bits": encoded(Image.fromarray(np.full((side, side), 40_000, np.uint16)), "PNG", **fast),
        "CMYK": encoded(Image.new("CMYK", (side, side), (9, 90, 200, 9)), "TIFF", compression="tiff_lzw"),
        "planes": planes_of(np.full((4, side, side), 40_000, np.uint16)),
        "moving": encoded(grey, "GIF", transparency=5),
    }
    for name, format, mode in (
        ("WebP", "WEBP", "RGB"),
        ("WebP and alpha", "WEBP", "RGBA"),
        ("AVIF", "AVIF", "RGB"),
        ("AVIF and alpha", "AVIF", "RGBA"),
    ):
        image = (rgb if mode == "RGB" else rgba).resize((sides[name],) * 2)
        options = {"speed": 10} if format == "AVIF" else {"method": 0}
        made[name] = encoded(image, format, quality=10, **options)
    return made


def jpeg_in_scans(side: int) -> bytes:
    """A grey JPEG of 8 x 8 blocks whose three colours come one after another, two bits a block."""

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    tables = b"".join(segment(0xC4, bytes([kind, 1]) + bytes(15) + b"\0") for kind in (0x00, 0x10))
    parts = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    frame = segment(0xC0, struct.pack(">BHHB", 8, side, side, 3) + parts)
    scan = bytes((-(-side // 8)) ** 2 // 4 + 1)
    scans = b"".join(segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + scan for number in (1, 2, 3))
    return b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64) + frame + tables + scans + b"\xff\xd9"


def test_a_jpeg_whose_colours_come_one_after_another_is_not_read_at_any_size():
    """Of these the decoder keeps all coefficients, however small the image that it makes of them."""
    assert np.ptp(read_image(jpeg_in_scans(64))) == 0
    for read in (lambda data: read_image(data, (8, 8)), lambda data: read_thumbnail(data, 9)):
        read(jpeg_in_scans(3000))
        with pytest.raises(TooManyPixelsError, match="14000 x 14000 pixels"):
            read(jpeg_in_scans(14_000))


def test_a_tiff_in_one_piece_that_is_larger_than_memory_is_not_read():
    """A tile may be larger than its image, and zeros in it cost a thousandth."""

    def tiled(side: int) -> bytes:
        tile = zlib.compress(bytes(16 * 16 * 3))
        entries = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side)]
        entries += [(324, 8 + 2 + 12 * 10 + 4), (325, len(tile))]
        table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
        return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + tile

    assert read_image(tiled(16)).shape == (16, 16, 3)
    with pytest.raises(TooManyPixelsError, match="16 x 16 pixels of TIFF take 900,000,256 bytes"):
        read_image(tiled(30_000))
