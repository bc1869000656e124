"""Photographs in each form that they are stored in come back as they were, by formulas written anew."""

import importlib.util
import io
import logging
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from deep_ranking.images import colour, decode, forms
from deep_ranking.images.decode import ImageError, read_image, read_size, read_thumbnail
from deep_ranking.images.loader import load_batches

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def made():
    """The benchmark of the forms, whose makers are the oracle."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("photo_forms", BENCHMARKS / "photo_forms.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


def photo(height: int = 192, width: int = 256) -> np.ndarray:
    rng = np.random.default_rng(7)
    picture = np.zeros((height, width, 3))
    for cells in (3, 6, 12):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / 3
    picture[:20, :60] = np.linspace(0, 255, 60)[None, :, None]
    return np.rint(picture).astype(np.uint8)


PHOTO = photo()
GREY = np.asarray(Image.fromarray(PHOTO).convert("L")).astype(int)
APART = {  # mean difference of levels; what 8 bits and the codec lose, measured, and a third more
    "linear RGB": 1.3,
    "PNG, gAMA 1.0": 1.3,
    "CMYK with profile": 2.5,
    "AVIF, PQ": 6.0,
    "AVIF, HLG": 6.0,
    "PNG, cICP PQ": 3.0,
}
NAMES = [
    "Display P3", "Adobe RGB", "ProPhoto", "Rec.2020", "linear RGB", "CMYK with profile",
    "CMYK without Adobe's marker", "planar RGB, 16 bits", "planar CMYK, 16 bits", "PNG, gAMA 1.0",
    "PNG, gAMA 1/1.8", "PNG, gAMA and cHRM", "PNG, cICP P3", "PNG, cICP PQ", "AVIF, PQ", "AVIF, HLG",
    "AVIF, brand mif1", "JPEG turned in XMP alone", "TIFF on its side", "several pictures (MPO)",
]  # fmt: skip
GREYS = [
    "grey, gamma 1.8", "grey, dot gain", "grey, gamma 1.0", "grey, 16 bits, zero is white",
    "grey, 12 bits in 16, PNG", "grey, 12 bits in 16, TIFF", "grey, floats 0..4095", "grey, floats 290..310",
    "grey, 32 bits, -1000..3000",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_photo_comes_back_from_its_form(made, name):
    read = read_image(made.COLOURS[name][0](PHOTO))
    assert read.shape == PHOTO.shape
    assert np.abs(read.astype(int) - PHOTO).mean() < APART.get(name, 1.6), name


@pytest.mark.parametrize("name", GREYS)
def test_a_grey_photo_comes_back_from_its_form(made, name):
    data = made.GREYS[name][0](PHOTO)
    read = read_image(data).astype(int)
    assert (read == read[..., :1]).all()
    assert np.abs(read[..., 0] - GREY).mean() < 1.2
    small = np.asarray(read_thumbnail(data, 64))
    assert np.abs(small.mean() - GREY.mean()) < 2


def test_every_form_of_the_benchmark_is_tested(made):
    apart = {"JPEG, quality 75", "JPEG 4:4:1", "raw, with a preview", "HEIC", "JPEG XL"}
    assert set(made.COLOURS) == set(NAMES) | apart
    assert set(made.GREYS) == set(GREYS)


def test_a_jpeg_that_a_fast_reader_does_not_know_is_read_by_pillow(made):
    simplejpeg = pytest.importorskip("simplejpeg", reason="the extra `fast` is not installed")
    data = made.oddly_sampled(PHOTO)
    with pytest.raises(KeyError):
        simplejpeg.decode_jpeg_header(data)
    assert len(data) < 65_536
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(read_image(data), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("error", [KeyError, RuntimeError, AttributeError, MemoryError, SystemError])
def test_whatever_a_reader_raises_is_one_error_about_one_file(tmp_path, monkeypatch, error):
    class Raises:
        @staticmethod
        def decode_jpeg_header(data):
            raise error("of the reader")

    path = tmp_path / "a.jpg"
    Image.fromarray(PHOTO).save(path)
    whole = read_image(path)
    monkeypatch.setattr(decode, "simplejpeg", Raises)
    np.testing.assert_array_equal(read_image(path), whole)
    monkeypatch.setattr(Image.Image, "load", Raises.decode_jpeg_header)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", Raises.decode_jpeg_header)
    (batch,) = load_batches([path, PHOTO], PHOTO.shape[:2], 2)
    assert batch.positions.tolist() == [1]
    assert str(batch.failures[0][1]).startswith(f"{path}: cannot be read as an image")


@pytest.fixture
def noticed():
    forms.take_notices()
    yield forms.take_notices
    forms.take_notices()


def with_profile(icc: bytes, mode: str = "RGB") -> bytes:
    data = io.BytesIO()
    Image.fromarray(PHOTO).convert(mode).save(data, "TIFF", icc_profile=icc)
    return data.getvalue()


def test_a_profile_that_is_damaged_or_anothers_is_ignored_and_counted(made, noticed, caplog):
    grey, colours = made.grey_profile(made.tone(1.8)), made.rgb_profile(made.P3, None)
    for icc in (b"x" * 300, colours[:200], grey):
        np.testing.assert_array_equal(read_image(with_profile(icc)), PHOTO)
    assert noticed() == [f"3 images: {colour.IGNORED}"]
    with caplog.at_level(logging.WARNING):
        list(load_batches([with_profile(grey)] * 5, (8, 8), 2))
        list(load_batches([PHOTO], (8, 8), 2))
    assert [record.getMessage() for record in caplog.records] == [f"5 images: {colour.IGNORED}"]


def test_srgb_by_any_maker_costs_nothing_and_changes_nothing(made, noticed):
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (usual, made.rgb_profile(made.SRGB, None)):
        assert colour.transform_of(icc, "RGB") is None
        np.testing.assert_array_equal(read_image(with_profile(icc)), PHOTO)
        assert (read_image(with_profile(icc, "L"))[..., 0] == GREY).all()
    assert noticed() == []


def test_a_small_jpeg_of_srgb_takes_the_fast_way_and_one_of_another_space_does_not(made):
    pytest.importorskip("simplejpeg", reason="the extra `fast` is not installed")
    small = PHOTO[::4, ::4]
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode._plain_jpeg(made.file(small, "JPEG", icc_profile=usual), None) is not None
    assert (
        decode._plain_jpeg(made.file(small, "JPEG", icc_profile=made.rgb_profile(made.P3, None)), None)
        is None
    )


def test_a_grey_image_may_have_a_profile_of_colours(made):
    icc = made.rgb_profile(made.SRGB, 1.0)
    stored = made.eight(made.light(GREY))
    read = read_image(made.file(stored, "PNG", icc_profile=icc)).astype(int)
    assert np.abs(read[..., 0] - GREY).mean() < 1.5


def test_transparency_and_palettes_keep_their_profile(made):
    icc = made.rgb_profile(made.P3, None)
    stored = made.eight(made.coded(made.inside(PHOTO, made.P3)))
    alpha = np.full((*PHOTO.shape[:2], 1), 255, np.uint8)
    alpha[100:] = 0
    read = read_image(made.file(np.concatenate([stored, alpha], -1), "PNG", icc_profile=icc)).astype(int)
    assert np.abs(read[:100] - PHOTO[:100]).mean() < 1
    assert (read[100:] == 255).all()
    palette = Image.fromarray(stored).quantize(256)
    expected = read_image(made.file(np.asarray(palette.convert("RGB")), "PNG", icc_profile=icc))
    np.testing.assert_array_equal(read_image(made.file(palette, "PNG", icc_profile=icc)), expected)


def test_hdr_is_shown_as_the_formula_says(made):
    """Grey of 0.1 to 1,000 nits, by the tone mapping of SMPTE ST 2094-50 solved by bisection."""
    nits = np.geomspace(0.1, 1000, 40)
    power = (nits / 10_000) ** (2610 / 16384)
    coded = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    shown = colour.show_hdr(np.repeat(coded[:, None], 3, 1), (*made.REC2020, *made.D65), 16)
    peak, expected = 1000 / 203, []
    for x in nits / 203:
        if x <= 1:
            expected.append(0.5 * x)
            continue
        low, high = 0.0, 1.0
        for _ in range(60):
            t = (low + high) / 2
            at = (1 - t) ** 2 + 2 * t * (1 - t) * (0.35 + 0.65 / 0.5) + t * t * peak
            low, high = (t, high) if at < x else (low, t)
        expected.append((1 - t) ** 2 * 0.5 + 2 * t * (1 - t) * (0.35 * 0.5 + 0.65) + t * t)
    np.testing.assert_allclose(shown, made.coded(np.array(expected))[:, None].repeat(3, 1), atol=2e-3)


def test_size_and_orientation_are_the_upright_ones(made):
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert read_size(made.sideways(PHOTO, kind)) == (256, 192)
    assert read_size(made.turned_in_xmp(PHOTO)) == (256, 192)


def test_a_raw_file_is_its_largest_preview_upright(made, tmp_path):
    (tmp_path / "a.dng").write_bytes(made.raw(PHOTO))
    large = Image.fromarray(PHOTO).resize((1024, 768))
    for source in (tmp_path / "a.dng", made.raw(PHOTO)):
        assert read_size(source) == (1024, 768)
        assert np.abs(read_image(source).astype(int) - np.asarray(large)).mean() < 3
    fuji = b"FUJIFILMCCD-RAW 0201" + bytes(80) + made.file(large, "JPEG", quality=95) + bytes(1000)
    assert np.abs(read_image(fuji).astype(int) - np.asarray(large)).mean() < 3


@pytest.mark.parametrize(("side", "told"), [(300, "largest preview is 300 x 200"), (0, "without a preview")])
def test_a_raw_file_without_a_preview_to_speak_of_says_so(made, side, told):
    inside = made.file(Image.new("RGB", (side, 200)), "JPEG") if side else bytes(500)
    with pytest.raises(ImageError, match=f"camera's raw file .*{told}"):
        read_image(b"\0\0\0\x18ftypcrx " + bytes(100) + inside)


def test_deep_grey_is_never_black_white_or_flat(made, noticed):
    x = np.mgrid[:96, :96][1]
    kelvin = (293 + 8 * np.sin(x / 7)).astype(np.float32)
    kelvin[0, 0], kelvin[0, 1] = np.nan, np.inf
    read = read_image(made.file(kelvin, "TIFF"))[..., 0]
    expected = (np.sin(x / 7) + 1) * 127.5
    assert np.abs(read[1:].astype(float) - expected[1:]).mean() < 2
    assert read[0, 0] == 0
    assert read[0, 1] == 255
    centikelvin = (29_300 + 800 * (x / 95)).astype(np.uint16)
    assert np.ptp(read_image(made.file(centikelvin, "PNG"))) == 255
    assert noticed() == ["2 images: grey of more than 8 bits, scaled by the range of its own values"]
    for values in (
        np.zeros((4, 4), np.uint16),
        np.full((4, 4), 40_000, np.uint16),
        np.zeros((4, 4), np.float32),
    ):
        read = read_image(made.file(values, "TIFF"))
        assert (read == round(float(values[0, 0]) * 255 / 65535)).all()
    assert noticed() == []


def test_a_declared_range_is_taken(made):
    values = np.rint(np.linspace(200, 800, 64)).astype(np.uint16).reshape(8, 8)
    tags = {256: ("I", [8]), 257: ("I", [8]), 258: ("H", [16]), 259: ("H", [1]), 262: ("H", [1])}
    tags |= {277: ("H", [1]), 278: ("I", [8]), 280: ("H", [0]), 281: ("H", [2000])}
    read = read_image(made.tiff(tags, [values.tobytes()]))[..., 0]
    np.testing.assert_allclose(read, values * 255.0 / 2000, atol=0.51)
    unsigned = (np.arange(64).reshape(8, 8) * 68_000_000).astype("<u4")  # beyond what a signed number holds
    tags |= {258: ("H", [32])}
    del tags[280], tags[281]
    read = read_image(made.tiff(tags, [unsigned.tobytes()]))[..., 0]
    np.testing.assert_allclose(read, np.arange(64).reshape(8, 8) * 255 / 63, atol=0.51)


def test_colours_of_12_bits_in_16_and_planes_in_tiles_are_refused_with_the_reason(made):
    dark = np.zeros((8, 8, 3), np.uint16)
    dark[..., 0] = 4095
    with pytest.raises(ImageError, match="12 bits or fewer in 16"):
        read_image(made.deep_tiff(dark, 2))
    odd = made.deep_tiff(dark, 2, planar=2).replace(
        struct.pack("<HHI", 273, 4, 3), struct.pack("<HHI", 324, 4, 3)
    )
    with pytest.raises(ImageError):
        read_image(odd)


def deep(made, samples, kind, order="<", photometric=1, zipped=False, extra=None):
    """Store samples as a TIFF file of numbers of a kind: u2, i4, f4 ..., as the standard says."""
    height, width = samples.shape[:2]
    count = 1 if samples.ndim == 2 else samples.shape[2]
    tags = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [int(kind[1]) * 8] * count)}
    tags |= {259: ("H", [8 if zipped else 1]), 262: ("H", [photometric]), 277: ("H", [count])}
    tags |= {278: ("I", [height]), 339: ("H", [{"u": 1, "i": 2, "f": 3}[kind[0]]] * count)} | (extra or {})
    data = samples.astype(order + kind).tobytes()
    return made.tiff(tags, [zlib.compress(data) if zipped else data], order)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        *[("i1", -128, 127), ("i2", -32768, 32767), ("i2", 0, 32767), ("i2", 0, 4095), ("u2", 0, 1023)],
        *[("u2", 0, 65535), ("i4", -(2**31), 2**31 - 1), ("f4", 0, 1), ("f4", -5, 5)],
    ],
)
def test_deep_grey_comes_back_in_any_order_and_sign(made, kind, low, high, order, zipped):
    samples = GREY.astype(float) / 255 * (high - low) + low
    read = read_image(deep(made, samples if kind == "f4" else samples.round(), kind, order, zipped=zipped))
    np.testing.assert_allclose(read[..., 0], GREY, atol=0.6 if np.ptp(GREY) == 255 else 6)


@pytest.mark.parametrize("order", "<>")
def test_floats_that_a_predictor_was_applied_to_come_back(made, order):
    bits = (GREY / 255).astype(">f4").view("u1").reshape(*GREY.shape, 4).transpose(0, 2, 1)
    bits = bits.reshape(len(GREY), -1)  # all first bytes of a row, all second ones ... and their differences
    bits = np.concatenate([bits[:, :1], np.diff(bits, axis=1)], axis=1)
    tags = {256: ("I", [GREY.shape[1]]), 257: ("I", [len(GREY)]), 258: ("H", [32]), 259: ("H", [8])}
    tags |= {262: ("H", [1]), 277: ("H", [1]), 278: ("I", [len(GREY)]), 317: ("H", [3]), 339: ("H", [3])}
    read = read_image(made.tiff(tags, [zlib.compress(bits.tobytes())], order))
    np.testing.assert_allclose(read[..., 0], GREY, atol=0.6)


@pytest.mark.parametrize("order", "<>")
def test_grey_of_12_bits_packed_comes_back_or_is_refused(made, order):
    values = np.rint(GREY / 255 * 4095).astype("u2")
    one, other = values[:, 0::2], values[:, 1::2]
    packed = np.stack([one >> 4, (one & 15) << 4 | other >> 8, other & 255], axis=2).astype("u1")
    tags = {256: ("I", [GREY.shape[1]]), 257: ("I", [len(GREY)]), 258: ("H", [12]), 259: ("H", [1])}
    tags |= {262: ("H", [1]), 277: ("H", [1]), 278: ("I", [len(GREY)])}
    data = made.tiff(tags, [packed.tobytes()], order)
    if order == "<":
        np.testing.assert_allclose(read_image(data)[..., 0], GREY, atol=0.6)
    else:
        with pytest.raises(ImageError, match="samples no reader here knows"):
            read_image(data)


FEW = ["RGB", "RGBA", "CMYK", "planes", "PNG, RGBA", "PNG, LA"]


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("form", FEW)
def test_colours_of_few_bits_in_16_are_scaled_or_refused(made, noticed, form, bits):
    most = 2**bits - 1
    colours = np.rint(PHOTO / 255 * most).astype("u2")
    with_alpha = np.concatenate([colours, np.full_like(colours[..., :1], most)], axis=2)
    data = {
        "RGB": lambda: deep(made, colours, "u2", photometric=2, zipped=True),
        "RGBA": lambda: deep(made, with_alpha, "u2", photometric=2, extra={338: ("H", [2])}),
        "CMYK": lambda: deep(made, most - with_alpha, "u2", photometric=5),
        "planes": lambda: made.deep_tiff(colours, 2, planar=2),
        "PNG, RGBA": lambda: png16(made, with_alpha, 6),
        "PNG, LA": lambda: png16(made, with_alpha[..., [0, 3]], 4),
    }[form]()
    if bits <= 12:
        with pytest.raises(ImageError, match="12 bits or fewer in 16"):
            read_image(data)
        return
    expected = PHOTO[..., :1] if form == "PNG, LA" else PHOTO
    np.testing.assert_allclose(read_image(data), np.broadcast_to(expected, PHOTO.shape), atol=4)
    assert noticed() == ["1 image: colours of 14 bits in 16, scaled"] * (bits == 14)


def png16(made, samples: np.ndarray, colours: int, *chunks: tuple[bytes, bytes]) -> bytes:
    rows = samples.astype(">u2").reshape(len(samples), -1).view("u1")
    rows = np.pad(rows, ((0, 0), (1, 0)))  # no filter
    head = struct.pack(">IIBBBBB", samples.shape[1], len(samples), 16, colours, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made.chunk(*part) for part in parts)


def test_the_one_level_that_a_deep_png_calls_transparent_is_laid_on_white(made):
    grey = GREY * 257
    key = int(grey[0, 30])
    read = read_image(png16(made, grey, 0, (b"tRNS", struct.pack(">H", key))))
    expected = np.where(grey == key, 255, GREY)
    np.testing.assert_array_equal(read, np.repeat(expected[..., None], 3, axis=2))
    colours = PHOTO.astype(int) * 257
    red, green, blue = colours[0, 30].tolist()
    read = read_image(png16(made, colours, 2, (b"tRNS", struct.pack(">HHH", red, green, blue))))
    clear = (colours == colours[0, 30]).all(axis=2, keepdims=True)
    np.testing.assert_array_equal(read, np.where(clear, 255, PHOTO))


@pytest.mark.parametrize(("kind", "photometric"), [("f4", 2), ("i2", 2), ("u4", 2)])
def test_colours_that_no_reader_knows_are_refused_with_the_reason(made, kind, photometric):
    with pytest.raises(ImageError, match="a TIFF file whose samples no reader here knows"):
        read_image(deep(made, PHOTO, kind, photometric=photometric))


def test_a_jpeg_of_108_megapixels_is_read_at_an_eighth(monkeypatch, made):
    monkeypatch.setattr(decode, "MAX_PIXELS", 40_000)
    monkeypatch.setattr(decode, "MOST_SCALED", 120_000)
    data = made.file(Image.fromarray(PHOTO).resize((320, 320)), "JPEG", quality=95)  # 102,400 pixels
    assert read_image(data, (20, 20)).shape == (20, 20, 3)
    assert read_size(data) == (320, 320)
    for whole, size in (
        (data, None),
        (made.file(Image.new("RGB", (320, 320)), "JPEG", progressive=True), (20, 20)),
    ):
        with pytest.raises(decode.TooManyPixelsError, match="320 x 320"):
            read_image(whole, size)
    with pytest.raises(decode.TooManyPixelsError):
        read_size(made.file(Image.new("RGB", (400, 400)), "JPEG"))


HEIC, JXL = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\xff\x0a" + bytes(30)


@pytest.mark.parametrize(("data", "name"), [(HEIC, "HEIC photo"), (JXL, "JPEG XL image")])
def test_a_missing_extra_is_named(monkeypatch, tmp_path, data, name):
    monkeypatch.setattr(forms, "_is_installed", lambda module: False)
    (tmp_path / "IMG_1.HEIC").write_bytes(data)
    with pytest.raises(decode.UnknownFormatError, match=rf"IMG_1.*: {name}, .*'deep-ranking\[photos\]'"):
        read_image(tmp_path / "IMG_1.HEIC")
    assert not decode.is_image(tmp_path / "IMG_1.HEIC")
    assert forms.why_unreadable(b"text") == ""


@pytest.mark.parametrize("name", ["HEIC", "JPEG XL"])
def test_formats_of_the_extra_come_back(made, tmp_path, name):
    pytest.importorskip({"HEIC": "pillow_heif", "JPEG XL": "pillow_jxl"}[name], reason="the extra `photos`")
    data = made.COLOURS[name][0](PHOTO)
    (tmp_path / "a.jpg").write_bytes(data)
    assert decode.is_image(tmp_path / "a.jpg")
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - PHOTO).mean() < 4
    assert read_size(data) == (256, 192)
    mif1 = made.COLOURS["AVIF, brand mif1"][0](PHOTO)
    assert np.abs(read_image(mif1).astype(int) - PHOTO).mean() < 4  # what was read before still is
    for share in (0.05, 0.5):
        with pytest.raises(ImageError):
            read_image(data[: int(len(data) * share)])


@pytest.mark.parametrize("size", [(256, 192), (64, 64), (37, 1001), (8, 2048), (1, 1)])
def test_the_size_of_a_jpeg_xl_image_is_known_before_it_is_decoded(made, size):
    pytest.importorskip("pillow_jxl", reason="the extra `photos` is not installed")
    data = made.jxl(np.zeros((size[1], size[0], 3), np.uint8))
    assert forms._jxl_size(data) == size
