"""Every kind of file that people have becomes the right pixels, or an error that names it."""

import io
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from deep_ranking.errors import DeepRankingError
from deep_ranking.images import decode
from deep_ranking.images.decode import ImageError, is_image, read_image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def smooth(height: int = 30, width: int = 50) -> np.ndarray:
    """Three different channels, different in x and y, that JPEG keeps well."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([255 * x / width, 255 * y / height, 255 - 128 * (x / width + y / height)], -1)
    return picture.astype(np.uint8)


def photograph(height: int, width: int) -> np.ndarray:
    """Structure at every scale, as photographs have."""
    rng = np.random.default_rng(5)
    picture = np.zeros((height, width, 3))
    for cells in (4, 16, 64, 256):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 4
    return picture.astype(np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_come_back_exactly(kind):
    pixels = smooth()
    read = read_image(encoded(Image.fromarray(pixels), kind))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_come_back_nearly(kind):
    assert difference(read_image(encoded(Image.fromarray(smooth()), kind, quality=95)), smooth()) < 3


def test_formats_names_each_that_is_tested():
    assert set(decode.FORMATS) == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"}


def test_grey_has_three_equal_channels():
    grey = smooth()[..., 0]
    read = read_image(encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(read, np.stack([grey] * 3, -1))


def test_black_and_white():
    bits = np.arange(24).reshape(4, 6) % 3 == 0
    read = read_image(encoded(Image.fromarray(bits), "PNG"))
    np.testing.assert_array_equal(read[..., 0], bits * 255)


def test_palette():
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    expected = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 255, 0]]])
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        np.testing.assert_array_equal(read_image(encoded(image, kind)), expected, err_msg=kind)


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])], ids=["one index", "alpha an index"])
def test_transparent_palette_index_is_white(transparency):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    read = read_image(encoded(image, "PNG", transparency=transparency))
    np.testing.assert_array_equal(read, [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]])


def test_half_transparent_palette_index_is_mixed_with_white():
    image = Image.fromarray(np.array([[0]], np.uint8), "P")
    image.putpalette([255, 0, 0])
    read = read_image(encoded(image, "PNG", transparency=bytes([128])))
    np.testing.assert_allclose(read, [[[255, 127, 127]]], atol=1)


def test_alpha_is_laid_on_white():
    pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 102]]], np.uint8)
    read = read_image(encoded(Image.fromarray(pixels), "PNG"))
    mixed = [round(0.4 * value + 0.6 * 255) for value in (200, 100, 0)]
    np.testing.assert_allclose(read, [[[200, 100, 0], [255, 255, 255], mixed]], atol=1)


def test_hidden_colour_of_transparent_pixels_does_not_bleed_in_when_resized():
    pixels = np.zeros((8, 8, 4), np.uint8)  # black, all of it transparent
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(pixels), "PNG"), size=(3, 3)), 255)


def test_grey_with_alpha():
    pixels = np.array([[[100, 255], [100, 0]]], np.uint8)
    read = read_image(encoded(Image.fromarray(pixels, "LA"), "PNG"))
    np.testing.assert_array_equal(read[0, :, 0], [100, 255])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_transparent_colour(mode):
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), 90 if mode == "L" else (90, 80, 70))
    read = read_image(encoded(image, "PNG", transparency=0 if mode == "L" else (0, 0, 0)))
    assert read[0, 0].tolist() == [255, 255, 255]
    assert read[0, 1].tolist() == ([90] * 3 if mode == "L" else [90, 80, 70])


def test_cmyk_jpeg_with_adobe_inverted_ink():
    rgb = Image.fromarray(smooth())
    data = encoded(rgb.convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data, "the file must be of the kind that stores the ink inverted"
    assert difference(read_image(data), smooth()) < 6
    assert difference(read_image(data, size=(15, 25)), read_image(encoded(rgb, "PNG"), size=(15, 25))) < 6


def test_cmyk_tiff():
    data = encoded(Image.fromarray(smooth()).convert("CMYK"), "TIFF")
    assert difference(read_image(data), smooth()) < 6


@pytest.mark.parametrize(
    ("top", "full"), [(65535, 65535), (20000, 65535), (200, 255)], ids=["full", "dim", "8 bits in 16"]
)
@pytest.mark.parametrize(("kind", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_16_bit_grey_is_scaled_not_cut(kind, dtype, top, full):
    deep = np.linspace(0, top, 60).astype(dtype).reshape(6, 10)
    read = read_image(encoded(Image.fromarray(deep), kind))
    np.testing.assert_allclose(read[..., 1], deep.astype(float) * 255 / full, atol=0.51)


def test_16_bit_grey_pgm():
    deep = np.linspace(0, 65535, 60).astype("<u2").reshape(6, 10)
    read = read_image(encoded(Image.fromarray(deep), "PPM"))
    np.testing.assert_allclose(read[..., 1], deep.astype(float) * 255 / 65535, atol=0.51)


def test_16_bit_colour_png():
    """Pillow writes none, so the file is put together here."""
    deep = (np.arange(4 * 5 * 3).reshape(4, 5, 3) * 1000).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    np.testing.assert_allclose(read_image(data), deep.astype(float) / 257, atol=1)


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_float_tiff(top):
    values = np.linspace(0, top, 12, dtype=np.float32).reshape(3, 4)
    read = read_image(encoded(Image.fromarray(values), "TIFF"))
    np.testing.assert_allclose(read[..., 0], values * 255 / top, atol=0.51)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind, orientation):
    """Store the picture turned the way each orientation says; it must be read upright."""
    upright = smooth()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if kind in ("PNG", "TIFF") else {"quality": 95}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif.tobytes(), **options)
    read = read_image(data)
    assert read.shape == upright.shape
    assert difference(read, upright) < 4
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(read, ImageOps.exif_transpose(image).convert("RGB"))


def test_an_image_on_its_side_is_stretched_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.ascontiguousarray(np.rot90(smooth(300, 500), 1)))
    read = read_image(encoded(lying, "JPEG", exif=exif.tobytes(), quality=95), size=(30, 50))
    assert difference(read, smooth(30, 50)) < 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_or_written_back_is_passed_over(kind):
    """`ImageOps.exif_transpose` raises struct.error on some of these, SyntaxError on others."""
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0131] = "program"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    good = exif.tobytes()
    rng = np.random.default_rng(1)
    picture = Image.fromarray(smooth())
    for _ in range(200):
        odd = bytearray(good)
        for place in rng.integers(6, len(odd), 3):
            odd[place] = rng.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own, on odd metadata
            assert read_image(encoded(picture, kind, exif=bytes(odd))).size == smooth().size


def test_multi_picture_jpeg_of_telephones(tmp_path):
    data = encoded(
        Image.fromarray(smooth()),
        "MPO",
        save_all=True,
        append_images=[Image.new("RGB", (50, 30))],
        quality=95,
    )
    (tmp_path / "x.jpg").write_bytes(data)
    assert is_image(tmp_path / "x.jpg")
    assert difference(read_image(data), smooth()) < 4
    assert read_image(data, size=(8, 8)).shape == (8, 8, 3)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10, **options)
    np.testing.assert_array_equal(read_image(data), np.broadcast_to([255, 0, 0], (4, 6, 3)))


@pytest.mark.parametrize("size", [None, (1, 1), (7, 5)])
def test_one_pixel(size):
    read = read_image(encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG"), size)
    np.testing.assert_array_equal(read, np.broadcast_to([9, 8, 7], (*(size or (1, 1)), 3)))


def test_size_is_height_then_width():
    assert read_image(encoded(Image.fromarray(smooth()), "PNG"), size=(11, 7)).shape == (11, 7, 3)


@pytest.mark.parametrize("size", [(64, 64), (48, 100), (225, 225)])
def test_large_jpeg_by_draft_is_as_good_as_by_full_decode(size):
    image = Image.fromarray(photograph(1500, 2000))
    data = encoded(image, "JPEG", quality=92)
    with Image.open(io.BytesIO(data)) as full:
        whole = np.asarray(full.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR))
    assert difference(read_image(data, size), whole) < 1.5


def test_large_jpeg_is_read_at_a_smaller_scale(monkeypatch):
    """What makes a large photograph cheap: the decoder makes an eighth of the rows and columns."""
    decoded, pixels = [], decode._pixels
    monkeypatch.setattr(decode, "_pixels", lambda image: decoded.append(image.size) or pixels(image))
    data = encoded(Image.fromarray(photograph(1600, 1600)), "JPEG")
    read_image(data, (64, 64))
    assert decode.read_thumbnail(data, 64).size == (64, 64)
    assert decoded == [(200, 200)] * 2


def test_long_thin_jpeg_keeps_its_short_side():
    data = encoded(Image.fromarray(photograph(40, 4000)), "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as full:
        whole = np.asarray(full.resize((64, 64), Image.Resampling.BILINEAR))
    assert difference(read_image(data, (64, 64)), whole) < 1.5


def test_shrinking_is_antialiased():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    read = read_image(encoded(Image.fromarray(stripes), "PNG"), size=(32, 32))
    assert np.abs(read.astype(int) - 127).max() <= 5  # without antialiasing it is 0 or 255


@pytest.mark.parametrize(
    "name",
    ["a picture.jpg", "été.png", "写真.PNG", "A.B.JPEG", "-x.jpg", "no ending", "q'\"`.jpg", "#1,2.jpg"],
)
def test_any_name_and_any_ending(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(Image.fromarray(smooth()), "PNG"))  # content decides, whatever the name says
    assert is_image(path)
    np.testing.assert_array_equal(read_image(path), smooth())
    np.testing.assert_array_equal(read_image(str(path)), smooth())


def test_a_name_that_is_not_utf8(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.jpg")
    Path(path).write_bytes(encoded(Image.fromarray(smooth()), "PNG"))
    np.testing.assert_array_equal(read_image(path), smooth())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated(tmp_path, kind, share):
    data = encoded(Image.fromarray(photograph(64, 64)), kind)
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        read_image(path, size=(16, 16))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF"])
def test_damaged_files_are_read_or_refused_never_anything_else(kind):
    data = encoded(Image.fromarray(photograph(24, 24)), kind)
    rng = np.random.default_rng(2)
    for _ in range(150):
        odd = bytearray(data)
        for place in rng.integers(0, min(len(odd), 300), 4):
            odd[place] = rng.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read = read_image(bytes(odd), size=(8, 8))
            except ImageError:
                continue
        assert read.shape == (8, 8, 3)


@pytest.mark.parametrize("content", [b"", b"hello, this is text\n", b"\xff\xd8\xff", b"\0" * 100], ids=repr)
def test_what_is_no_image(tmp_path, content):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"x\.jpg: cannot be read as an image .*expected one of JPEG, PNG"):
        read_image(path)
    assert issubclass(ImageError, DeepRankingError)


def test_missing_and_folder(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg: no such image"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match=f"{tmp_path}: expected an image file, found a folder"):
        read_image(tmp_path)


def test_formats_outside_the_list_are_not_tried(tmp_path):
    (tmp_path / "x.jpg").write_bytes(encoded(Image.fromarray(smooth()), "TGA"))
    with pytest.raises(ImageError, match="cannot be read as an image"):
        read_image(tmp_path / "x.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_500, 14_000], ids=["over ours", "over Pillow's too"])
def test_too_many_pixels_are_refused_before_decoding(tmp_path, side):
    path = tmp_path / "bomb.png"
    Image.new("1", (side, side)).save(path)
    with pytest.raises(ImageError, match=r"bomb\.png: .*pixels"):
        read_image(path, size=(8, 8))


def test_as_many_pixels_as_allowed_are_read(monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 30 * 50)
    assert read_image(encoded(Image.fromarray(smooth()), "PNG")).shape == (30, 50, 3)
    monkeypatch.setattr(decode, "MAX_PIXELS", 30 * 50 - 1)
    with pytest.raises(ImageError, match="50 x 30 pixels, more than the 1,499"):
        read_image(encoded(Image.fromarray(smooth()), "PNG"))


def test_reading_in_threads_leaves_the_filters_of_warnings_alone():
    data = encoded(Image.fromarray(photograph(300, 300)), "JPEG")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        reads = list(pool.map(lambda _: read_image(data, (64, 64)), range(200)))
    assert list(warnings.filters) == before
    assert all(np.array_equal(read, reads[0]) for read in reads)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF"])
def test_is_image_knows_each_format_by_content(tmp_path, kind):
    path = tmp_path / "file.txt"
    path.write_bytes(encoded(Image.fromarray(smooth()), kind))
    assert is_image(path)


@pytest.mark.parametrize(
    "content", [b"", b"\x89", b"text", b"RIFF....WAVE", b"%PDF-1.4", b"PK\3\4", b"P9 1 1"]
)
def test_is_image_refuses_others(tmp_path, content):
    path = tmp_path / "file.jpg"
    path.write_bytes(content)
    assert not is_image(path)


def test_decoding_needs_no_keras():
    code = "import sys, deep_ranking.images.decode; sys.exit('keras' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_real_image_is_read(shared):
    """The rated triplets hold JPEG, PNG under the name .jpg, grey, palette and transparent images."""
    with zipfile.ZipFile(shared / "data/human-triplets-development.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        contents = {name: archive.read(name) for name in names[::7]}
        contents |= {name: data for name in names if (data := archive.read(name))[:4] == b"\x89PNG"}
    assert sum(data[:4] == b"\x89PNG" for data in contents.values()) == 112
    for name, data in contents.items():
        assert read_image(data, size=(32, 32)).std() > 0, name


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [None, (37, 53), (24, 24), (80, 60)])
def test_small_jpegs_give_the_pixels_that_pillow_gives(monkeypatch, subsampling, size):
    pytest.importorskip("simplejpeg", reason="the extra `fast` is not installed")
    noise = np.random.default_rng(subsampling).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    for flags in ({"quality": 5}, {"quality": 95}, {"progressive": True}, {"optimize": True}):
        data = encoded(Image.fromarray(noise), "JPEG", subsampling=subsampling, **flags)
        quick = decode._plain_jpeg(data, size)
        assert quick is not None
        with monkeypatch.context() as without:
            without.setattr(decode, "simplejpeg", None)
            np.testing.assert_array_equal(quick, read_image(data, size))


def test_what_is_not_plain_is_left_to_pillow():
    pytest.importorskip("simplejpeg", reason="the extra `fast` is not installed")
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6

    turned = Image.fromarray(noise[:30, :40])
    for data, size in (
        (encoded(turned, "JPEG", exif=exif), None),
        (encoded(turned.convert("L"), "JPEG"), None),
        (encoded(turned.convert("CMYK"), "JPEG"), None),
        (encoded(turned, "JPEG")[:-40], None),
        (encoded(Image.fromarray(noise), "JPEG", quality=30), (70, 70)),  # decoded at half its scale
        (encoded(Image.fromarray(noise), "JPEG", quality=100), None),  # large
        (b"", None),
    ):
        assert decode._plain_jpeg(data, size) is None


def drawn_files() -> dict[str, bytes]:
    """Return drawn images in files that lead through each branch of the decoder."""
    picture = Image.fromarray(smooth())
    turned, clear = Image.Exif(), smooth(24, 32)
    turned[0x0112] = 6
    clear = np.concatenate([clear, clear[..., :1]], -1)
    deep = np.linspace(0, 65535, 24 * 32).astype("<u2").reshape(24, 32)
    return {
        "PNG": encoded(picture, "PNG"),
        "GIF": encoded(picture.quantize(16), "GIF"),
        "BMP": encoded(picture, "BMP"),
        "TIFF": encoded(picture, "TIFF"),
        "WEBP": encoded(picture, "WEBP", lossless=True),
        "JPEG": encoded(picture, "JPEG", quality=90),
        "JPEG, large": encoded(Image.fromarray(smooth(400, 600)), "JPEG", quality=90),
        "JPEG, CMYK": encoded(picture.convert("CMYK"), "JPEG", quality=90),
        "JPEG, on its side": encoded(picture, "JPEG", quality=90, exif=turned),
        "PNG, alpha": encoded(Image.fromarray(clear), "PNG"),
        "PNG, 16 bits": encoded(Image.fromarray(deep), "PNG"),
        "TIFF, floats": encoded(Image.fromarray((deep / 65535).astype(np.float32)), "TIFF"),
    }


DECODED = (
    4,
    {
        "PNG": [1925212102, 2524467589, 1575261724],
        "GIF": [4039782535, 1258556642, 173709387],
        "BMP": [1925212102, 2524467589, 1575261724],
        "TIFF": [1925212102, 2524467589, 1575261724],
        "WEBP": [1925212102, 2524467589, 1575261724],
        "JPEG": [2915541227, 2682799606, 2465494548],
        "JPEG, large": [31873380, 3299393685, 1641309084],
        "JPEG, CMYK": [3963683955, 121839923, 3510251088],
        "JPEG, on its side": [317512712, 3700947212, 2980689597],
        "PNG, alpha": [538784658, 3573089342, 4259047951],
        "PNG, 16 bits": [3785827408, 3334277957, 1113213610],
        "TIFF, floats": [3785827408, 3334277957, 1113213610],
    },
)
"""The decoder's version; and for each file the CRC-32 of its pixels, in its own size and in two others."""


def test_other_pixels_need_another_version():
    checks = {
        name: [zlib.crc32(read_image(data, size).tobytes()) for size in (None, (20, 28), (64, 48))]
        for name, data in drawn_files().items()
    }
    assert (decode.VERSION, checks) == DECODED, (
        "the same files give other pixels than before: raise `decode.VERSION`, so that what was kept is "
        "decoded again, and write both down here (where only Pillow or libjpeg-turbo is another, only here)"
    )


@pytest.mark.parametrize("kind", ["PNG", "LA", "palette", "WebP"])
def test_white_signs_on_nothing_are_told_from_each_other(kind):
    """Icons and signatures for dark pages: on white each would be the same blank."""

    def read(box, clear=0):
        image = Image.new("RGBA", (40, 40), (255, 255, 255, clear))
        image.paste((255, 255, 255, 255), box)
        image = {"LA": lambda: image.convert("LA"), "palette": lambda: image.quantize(2)}.get(
            kind, lambda: image
        )()
        return read_image(encoded(image, "WEBP" if kind == "WebP" else "PNG"))

    one, other = read((5, 5, 15, 15)), read((20, 20, 40, 40))
    assert one[10, 10].min() > 240
    assert one[30, 30].max() < 15
    assert np.abs(one.astype(int) - other).max() > 240
    if kind == "PNG":
        assert read((0, 0, 0, 0)).min() == 255  # where nothing shows, or all, it is white as before
        assert read((0, 0, 0, 0), clear=255).min() == 255
        assert read((0, 0, 0, 0), clear=99).min() == 255
