"""How far a photo moves when it is stored in another form: profile, depth, HDR, container.

For each form, r is the median over 24 photos of the distance between the photo and the same photo in that
form, divided by the median distance between different photos. Grey forms are held against the grey photo.
The photos are of the human-rated set, or drawn ones where it is missing; `DEEP_RANKING_WEIGHTS` names the
weights of MobileNetV2.

    python benchmarks/photo_forms.py [--quick] [--data FILE.zip]
"""

import argparse
import io
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from photos import write_photos
from PIL import Image

Form = Callable[[np.ndarray], bytes]

# What follows is written anew, by the standards' formulas in float64, so that it can judge the decoder.
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3, ADOBE = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06), (0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PROPHOTO, REC2020 = (
    (0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001),
    (0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
)
D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def rgb_to_d50(primaries: tuple, white: tuple = D65) -> np.ndarray:
    """Return the matrix from linear RGB to XYZ under D50, adapted by Bradford's."""
    columns = np.stack([xyz(*primaries[i : i + 2]) for i in (0, 2, 4)], 1)
    matrix = columns * np.linalg.solve(columns, xyz(*white))
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scale = (cones @ xyz(*D50)) / (cones @ xyz(*white))
    return np.linalg.inv(cones) @ np.diag(scale) @ cones @ matrix


def light(pixels: np.ndarray) -> np.ndarray:
    """Return the linear light of 8-bit sRGB, 0..1."""
    v = pixels / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def coded(linear: np.ndarray, gamma: float | None = None) -> np.ndarray:
    """Return numbers 0..1 by a gamma, or by sRGB's curve."""
    linear = np.clip(linear, 0, 1)
    if gamma is not None:
        return linear ** (1 / gamma)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def inside(pixels: np.ndarray, primaries: tuple, white: tuple = D65) -> np.ndarray:
    """Return the linear light of sRGB pixels, in other primaries."""
    return light(pixels) @ (np.linalg.inv(rgb_to_d50(primaries, white)) @ rgb_to_d50(SRGB)).T


def eight(numbers: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(numbers, 0, 1) * 255).astype(np.uint8)


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def profile(space: bytes, kind: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Put an ICC profile together (version 2.4)."""
    start = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = (
        struct.pack(">I4xI", start + len(body), 0x02400000) + kind + space + connection + bytes(12) + b"acsp"
    )
    return (head.ljust(68, b"\0") + fixed(0.9642, 1, 0.8249)).ljust(128, b"\0") + table + body


def curve(values: np.ndarray) -> bytes:
    numbers = np.rint(np.clip(values, 0, 1) * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(numbers)) + numbers.tobytes()


def tone(gamma: float | None) -> np.ndarray:
    v = np.linspace(0, 1, 4096)
    return light(v * 255) if gamma is None else v**gamma


def rgb_profile(primaries: tuple, gamma: float | None, white: tuple = D65) -> bytes:
    columns = rgb_to_d50(primaries, white).T
    tags = {n: b"XYZ \0\0\0\0" + fixed(*c) for n, c in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    return profile(
        b"RGB ", b"mntr", b"XYZ ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(tone(gamma)))
    )


def grey_profile(to_light: np.ndarray) -> bytes:
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    return profile(b"GRAY", b"prtr", b"XYZ ", {b"wtpt": white, b"kTRC": curve(to_light)})


def paper(dots: np.ndarray) -> np.ndarray:
    """Return the linear sRGB of printed dots of four inks, (..., 4) -> (..., 3)."""
    return ((1 - 0.9 * dots[..., :3]) * (1 - 0.9 * dots[..., 3:])) ** 2  # Yule and Nielsen's n of 2


GAIN = 0.75  # of a printed dot over its number


def inks(pixels: np.ndarray) -> np.ndarray:
    """Separate sRGB pixels into 8-bit inks, half of the grey in black, so that `paper` gives them back."""
    root = np.sqrt(light(pixels))
    black = np.clip((1 - root.max(-1, keepdims=True)) / 0.9, 0, 1) * 0.5
    dots = np.concatenate([(1 - root / (1 - 0.9 * black)) / 0.9, black], -1)
    return eight(np.clip(dots, 0, 1) ** (1 / GAIN))


def cmyk_profile(steps: int = 11) -> bytes:
    dots = np.stack(np.meshgrid(*[np.linspace(0, 1, steps)] * 4, indexing="ij"), -1).reshape(-1, 4)
    ratio = paper(dots) @ rgb_to_d50(SRGB).T / np.array([0.9642, 1, 0.8249])
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
    table = np.rint(np.clip((lab + np.array([0, 128, 128])) * [652.8, 256, 256], 0, 65535)).astype(">u2")
    inputs = np.rint(np.linspace(0, 1, 256) ** GAIN * 65535).astype(">u2").tobytes() * 4
    head = (
        b"mft2\0\0\0\0"
        + bytes([4, 3, steps, 0])
        + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
        + struct.pack(">HH", 256, 2)
    )
    body = head + inputs + table.tobytes() + struct.pack(">HH", 0, 65535) * 3
    return profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": body})


def file(pixels: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    data = file(pixels, "PNG")
    return data[:33] + b"".join(chunk(*one) for one in chunks) + data[33:]


def tiff(tags: dict[int, tuple[str, list[int]]], pieces: list[bytes], order: str = "<") -> bytes:
    """Put a TIFF file together: its tags, and its strips one after another."""
    tags = tags | {273: ("I", [0] * len(pieces)), 279: ("I", [len(piece) for piece in pieces])}
    start = 8 + 2 + 12 * len(tags) + 4
    places = np.cumsum([0] + [len(piece) for piece in pieces[:-1]])
    strips = start + 2048
    tags[273] = ("I", [strips + int(place) for place in places])
    table, extra = struct.pack(order + "H", len(tags)), b""
    for tag in sorted(tags):
        form, values = tags[tag]
        data = struct.pack(f"{order}{len(values)}{form}", *values)
        table += struct.pack(order + "HHI", tag, {"B": 1, "H": 3, "I": 4}[form], len(values))
        table += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", start + len(extra))
        extra += data if len(data) > 4 else b""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return (mark + struct.pack(order + "I", 8) + table + bytes(4) + extra).ljust(strips, b"\0") + b"".join(
        pieces
    )


def deep_tiff(samples: np.ndarray, photometric: int, bits: int = 16, planar: int = 1) -> bytes:
    height, width = samples.shape[:2]
    count = 1 if samples.ndim == 2 else samples.shape[2]
    planes = [samples] if planar == 1 else list(np.moveaxis(samples, -1, 0))
    tags = {256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * count), 259: ("H", [1])}
    tags |= {262: ("H", [photometric]), 277: ("H", [count]), 278: ("I", [height]), 284: ("H", [planar])}
    return tiff(tags, [np.ascontiguousarray(plane, "<u2").tobytes() for plane in planes])


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def deep(pixels: np.ndarray, top: int) -> np.ndarray:
    return np.rint(pixels / 255 * top).astype(np.uint16)


def pq(pixels: np.ndarray) -> np.ndarray:
    y = np.clip(inside(pixels, REC2020), 0, None) * 203 / 10_000
    power = y ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(pixels: np.ndarray) -> np.ndarray:
    shown = np.clip(inside(pixels, REC2020), 0, None) * 203 / 1000
    bright = shown @ np.array([0.2627, 0.6780, 0.0593])
    scene = shown / np.maximum(bright, 1e-9)[..., None] ** (0.2 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def avif(pixels: np.ndarray, primaries: int, transfer: int) -> bytes:
    data = file(pixels, "AVIF", quality=95, subsampling="4:4:4")
    place = data.index(b"colrnclx") + 8
    return data[:place] + struct.pack(">HH", primaries, transfer) + data[place + 4 :]


def oddly_sampled(pixels: np.ndarray) -> bytes:
    """Make a JPEG of 4:4:1 of a 4:1:1 one, whose units hold the same blocks beside instead of below."""
    import simplejpeg

    side = -(-max(pixels.shape[:2]) // 32) * 32
    whole = np.asarray(Image.fromarray(pixels).resize((side, side)).convert("YCbCr")).astype(np.float64)
    columns = side // 8
    units = whole.reshape(side // 32, 4, 8, columns, 8, 3)  # unit row, block, y, unit column, x
    luma = units[..., :1].transpose(0, 3, 2, 1, 4, 5).reshape(-1, 8, 32, 1)
    colours = units[..., 1:].reshape(side // 32, 8, 4, columns, 8, 2).mean(2).transpose(0, 2, 1, 3, 4)
    colours = colours.reshape(-1, 8, 8, 2).repeat(4, axis=2)
    beside = (
        np.concatenate([luma, colours], -1).reshape(columns, side // 32, 8, 32, 3).transpose(0, 2, 1, 3, 4)
    )
    mixed = np.rint(beside.reshape(side, side, 3)).astype(np.uint8)
    rgb = np.asarray(Image.fromarray(mixed, "YCbCr").convert("RGB"))
    data = bytearray(simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), 95, "RGB", "411"))
    place = next(data.index(mark) for mark in (b"\xff\xc0", b"\xff\xc1") if mark in data)
    assert data[place + 11] == 0x41
    data[place + 11] = 0x14
    return bytes(data)


def sideways(pixels: np.ndarray, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file(np.ascontiguousarray(np.rot90(pixels)), kind, exif=exif)


def turned_in_xmp(pixels: np.ndarray) -> bytes:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    return file(pixels, "JPEG", quality=95, subsampling=0, xmp=xmp)


def raw(pixels: np.ndarray) -> bytes:
    """A camera's file that begins as TIFF: a thumbnail, the mark of DNG, and the photo as JPEG inside."""
    small = np.asarray(Image.fromarray(pixels).resize((160, 120)))
    tags = {256: ("I", [160]), 257: ("I", [120]), 258: ("H", [8, 8, 8]), 259: ("H", [1]), 262: ("H", [2])}
    tags |= {274: ("H", [6]), 277: ("H", [3]), 278: ("I", [120]), 50706: ("B", [1, 4, 0, 0])}
    large = np.asarray(Image.fromarray(pixels).resize((4 * pixels.shape[1], 4 * pixels.shape[0])))
    preview = file(np.ascontiguousarray(np.rot90(large)), "JPEG", quality=95)
    return tiff(tags, [small.tobytes(), preview])


def without_adobe(pixels: np.ndarray) -> bytes:
    """A JPEG of four inks, stored as they are, without the marker that says otherwise."""
    stored = 255 - np.asarray(Image.fromarray(pixels).convert("CMYK"))
    data = file(Image.fromarray(stored, "CMYK"), "JPEG", quality=95, subsampling=0)
    place = data.index(b"\xff\xee")
    return data[:place] + data[place + 2 + int.from_bytes(data[place + 2 : place + 4], "big") :]


def in_space(primaries: tuple, gamma: float | None, white: tuple = D65, kind: str = "JPEG") -> Form:
    icc = rgb_profile(primaries, gamma, white)
    how = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    return lambda p: file(eight(coded(inside(p, primaries, white), gamma)), kind, icc_profile=icc, **how)


def in_grey(to_light: np.ndarray) -> Form:
    icc, steps = grey_profile(to_light), np.linspace(0, 1, len(to_light))
    return lambda p: file(eight(np.interp(light(grey(p)), to_light, steps)), "PNG", icc_profile=icc)


DOTS = (lambda ink: 1 - np.minimum(ink + 0.8 * ink * (1 - ink), 1))(1 - np.linspace(0, 1, 1024))
CHRM_P3 = struct.pack(">8I", *(round(v * 100_000) for v in (*D65, *P3)))

COLOURS: dict[str, tuple[Form, float]] = {
    "JPEG, quality 75": (lambda p: file(p, "JPEG", quality=75), 0.12),
    "Display P3": (in_space(P3, None), 0.06),
    "Adobe RGB": (in_space(ADOBE, 2.19921875), 0.06),
    "ProPhoto": (in_space(PROPHOTO, 1.8, D50), 0.10),
    "Rec.2020": (in_space(REC2020, 2.4), 0.10),
    "linear RGB": (in_space(SRGB, 1.0, kind="PNG"), 0.12),
    "CMYK with profile": (
        lambda p: file(Image.fromarray(inks(p), "CMYK"), "TIFF", icc_profile=cmyk_profile()),
        0.15,
    ),
    "CMYK without Adobe's marker": (without_adobe, 0.06),
    "planar RGB, 16 bits": (lambda p: deep_tiff(p * np.uint16(257), 2, planar=2), 0.06),
    "planar CMYK, 16 bits": (
        lambda p: deep_tiff(np.asarray(Image.fromarray(p).convert("CMYK")) * np.uint16(257), 5, planar=2),
        0.06,
    ),
    "PNG, gAMA 1.0": (lambda p: png(eight(light(p)), (b"gAMA", struct.pack(">I", 100_000))), 0.12),
    "PNG, gAMA 1/1.8": (
        lambda p: png(eight(coded(light(p), 1.8)), (b"gAMA", struct.pack(">I", 55_556))),
        0.06,
    ),
    "PNG, gAMA and cHRM": (
        lambda p: png(
            eight(coded(inside(p, P3), 2.2)), (b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", CHRM_P3)
        ),
        0.06,
    ),
    "PNG, cICP P3": (lambda p: png(eight(coded(inside(p, P3))), (b"cICP", bytes([12, 13, 0, 1]))), 0.06),
    "PNG, cICP PQ": (lambda p: png(eight(pq(p)), (b"cICP", bytes([9, 16, 0, 1]))), 0.25),
    "AVIF, PQ": (lambda p: avif(eight(pq(p)), 9, 16), 0.25),
    "AVIF, HLG": (lambda p: avif(eight(hlg(p)), 9, 18), 0.25),
    "AVIF, brand mif1": (lambda p: file(p, "AVIF", quality=95).replace(b"ftypavif", b"ftypmif1", 1), 0.12),
    "JPEG 4:4:1": (oddly_sampled, 0.20),
    "JPEG turned in XMP alone": (turned_in_xmp, 0.06),
    "TIFF on its side": (lambda p: sideways(p, "TIFF"), 0.06),
    "several pictures (MPO)": (
        lambda p: file(
            p, "MPO", quality=95, subsampling=0, save_all=True, append_images=[Image.new("RGB", (64, 64))]
        ),
        0.06,
    ),
    "raw, with a preview": (raw, 0.12),
    "HEIC": (lambda p: heif(p), 0.12),
    "JPEG XL": (lambda p: jxl(p), 0.12),
}
GREYS: dict[str, tuple[Form, float]] = {
    "grey, gamma 1.8": (in_grey(tone(1.8)), 0.06),
    "grey, dot gain": (in_grey(DOTS), 0.06),
    "grey, gamma 1.0": (in_grey(tone(1.0)), 0.12),
    "grey, 16 bits, zero is white": (lambda p: deep_tiff(65535 - grey(p) * np.uint16(257), 0), 0.06),
    "grey, 12 bits in 16, PNG": (lambda p: file(deep(grey(p), 4095), "PNG"), 0.06),
    "grey, 12 bits in 16, TIFF": (lambda p: deep_tiff(deep(grey(p), 4095), 1), 0.06),
    "grey, floats 0..4095": (lambda p: file((grey(p) / 255 * 4095).astype(np.float32), "TIFF"), 0.06),
    "grey, floats 290..310": (lambda p: file((290 + grey(p) / 255 * 20).astype(np.float32), "TIFF"), 0.06),
    "grey, 32 bits, -1000..3000": (
        lambda p: file((grey(p) / 255 * 4000 - 1000).astype(np.int32), "TIFF"),
        0.06,
    ),
}


def heif(pixels: np.ndarray) -> bytes:
    import pillow_heif

    data = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(data, quality=95)
    return data.getvalue()


def jxl(pixels: np.ndarray) -> bytes:
    import pillow_jxl  # noqa: F401

    return file(pixels, "JXL", quality=95)


def photographs(data: Path, count: int) -> list[np.ndarray]:
    """Return photos of as many folders of the rated set, or drawn ones."""
    if data.exists():
        with zipfile.ZipFile(data) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            firsts = list({name.split("/")[1]: name for name in reversed(names)}.values())[::-1]
            chosen = [firsts[i * len(firsts) // count] for i in range(count)]
            files = [io.BytesIO(archive.read(name)) for name in chosen]
    else:
        print(f"{data} is missing: photos are drawn")
        with tempfile.TemporaryDirectory() as folder:
            names = write_photos(Path(folder), 480, count)
            files = [io.BytesIO((Path(folder) / name).read_bytes()) for name in names]
    photos = [Image.open(file).convert("RGB") for file in files]
    for photo in photos:
        photo.thumbnail((480, 480))
    return [np.asarray(photo) for photo in photos]


def measure(photos: list[np.ndarray], outcome: Outcome, only: str = "") -> None:
    import deep_ranking as dr

    model = dr.load()

    def embed(files: list) -> np.ndarray:
        return np.asarray(model.encode(files), np.float64)

    for forms, plain in ((COLOURS, photos), (GREYS, [np.stack([grey(p)] * 3, -1) for p in photos])):
        base = embed([file(photo, "PNG") for photo in plain])
        apart = np.linalg.norm(base[:, None] - base[None], axis=-1)
        usual = float(np.median(apart[np.triu_indices(len(base), 1)]))
        for name, (form, goal) in forms.items():
            if only not in name:
                continue
            try:
                moved = np.linalg.norm(embed([form(photo) for photo in photos]) - base, axis=1)
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}")
                continue
            r = float(np.median(moved)) / usual
            print(f"{name:32} r {r:.3f}, at most {goal:.2f}{'' if r <= goal else '  MISSED'}", flush=True)
            outcome.add(name, "goal / r", goal / max(r, 1e-3), 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/human-triplets-development.zip"))
    parser.add_argument("--form", help="only the forms whose name holds this")
    parser.add_argument("--quick", action="store_true", help="6 photos instead of 24")
    args = parser.parse_args()
    outcome = Outcome("photo_forms")
    measure(photographs(args.data, 6 if args.quick else 24), outcome, args.form or "")
    outcome.show()
