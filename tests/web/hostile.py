"""Uploads that a server has to survive, made from formulas, each with the statuses that are right."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

Case = tuple[str, str, bytes, set[int]]
"""A name for the test, the name the file claims, its bytes, and the statuses that are right."""

LIMIT = 300_000
"""Bytes that the tests' server lets in."""

TRAVERSALS = [
    "../../../../etc/passwd", "..\\..\\windows\\system32\\x.png", "/etc/cron.d/x", "C:\\x.png", "file:///etc/x",
    "....//....//x.png", "%2e%2e%2fx.png", "..%c0%afx.png", "a/../../x.png", "./.ssh/authorized_keys",
    "x.png\0.html", "\0", ".", "..", "", " ", "~/x.png", "con.png", "x" * 5000 + ".png", "x.png;rm -rf x",
    "$(touch x).png", "`touch x`.png", "|touch x", "<script>.png", "\u202egnp.exe", "store.sqlite",
    "../index/store.sqlite", "\U0001f4a9.png",
]  # fmt: skip


def cases() -> Iterator[Case]:
    yield from broken_under_hostile_names()
    yield from truncated()
    yield from bombs()
    yield from wrong_types()
    yield from polyglots()
    yield from too_large()


def broken_under_hostile_names() -> Iterator[Case]:
    cut = encoded("PNG")[:200]
    for number, name in enumerate(TRAVERSALS):
        # The protocol knows no file without a name, and no header of 5,000 bytes.
        refused = {400} if not name or len(name) > 1000 else set()
        yield f"name {number} on a cut image", name, cut, refused or {422}
        yield f"name {number} on text", name, b"no image at all", refused or {415}


def truncated() -> Iterator[Case]:
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"):
        whole = encoded(kind)
        for share in (0.003, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9):
            yield f"{kind} cut at {share}", f"x.{kind.lower()}", whole[: int(share * len(whole))], {415, 422}


def bombs() -> Iterator[Case]:
    for width, height in (
        (100_000, 100_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (1, 89_000_001), (9_434, 9_434),
        (20_000, 20_000), (13_400, 13_400), (50_000, 2_000),
    ):  # fmt: skip
        yield f"PNG header {width} x {height}", "bomb.png", png(width, height), {413}
        yield f"BMP header {width} x {height}", "bomb.bmp", bmp(width, height), {413, 415, 422}
        yield f"PPM header {width} x {height}", "bomb.ppm", b"P6 %d %d 255 abc" % (width, height), {413}
        yield f"TIFF header {width} x {height}", "bomb.tiff", tiff(width, height), {413, 422}
    real = zlib.compress(bytes(100 << 20))  # 100 kB that unpack to 100 MB of black
    yield "PNG that unpacks to far more", "bomb.png", png(10_000, 10_000, real), {413}
    for size in (65_535, 30_000):
        gif = b"GIF89a" + struct.pack("<HH", size, size) + b"\x80\0\0" + bytes(6)
        frame = b"," + struct.pack("<HHHH", 0, 0, size, size) + b"\0\x02\x02\x44\x01\0;"
        yield f"GIF screen {size}", "bomb.gif", gif + frame, {413}
    for size in (65_500, 40_000):
        start = (
            b"\xff\xd8\xff\xc0\0\x11\x08"
            + struct.pack(">HH", size, size)
            + b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01"
        )
        yield f"JPEG frame {size}", "bomb.jpg", start + b"\xff\xda" + bytes(50), {413}
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2
    riff = b"WEBP" + extended + b"VP8 " + struct.pack("<I", 10) + bytes(10)
    yield "WebP canvas 16383", "bomb.webp", b"RIFF" + struct.pack("<I", len(riff)) + riff, {413, 415, 422}
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(100 << 20)))
    yield "PNG text that unpacks to 100 MB", "text.png", png(8, 8, before=text), {415, 422}


def wrong_types() -> Iterator[Case]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../x.png", encoded("PNG"))
    contents = {
        "zip": archive.getvalue(),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>',
        "svg with entities": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
        "html": b"<!doctype html><script>fetch('/api/ratings')</script>",
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run",
        "elf": b"\x7fELF" + bytes(200),
        "windows program": b"MZ" + bytes(200),
        "shell script": b"#!/bin/sh\ntouch x\n",
        "python": b"import os; os.system('touch x')",
        "pickle": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
        "gzip": zlib.compress(b"x" * 1000),
        "mp4": b"\0\0\0\x18ftypisom" + bytes(100),
        "heic": b"\0\0\0\x18ftypheic" + bytes(100),
        "icon": b"\0\0\x01\0\x01\0\x10\x10" + bytes(100),
        "photoshop": b"8BPS\0\x01" + bytes(100),
        "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
        "fits": b"SIMPLE  =                    T" + b" " * 3000,
        "dds": b"DDS " + struct.pack("<I", 124) + bytes(200),
        "tga": bytes([0, 0, 2]) + bytes(9) + struct.pack("<HHBB", 8, 8, 24, 0) + bytes(192),
        "sqlite": b"SQLite format 3\0" + bytes(100),
        "empty": b"",
        "one byte": b"\x89",
        "zeros": bytes(5000),
        "spaces": b" " * 5000,
        "magick script": b"push graphic-context\nimage over 0,0 0,0 'label:@/etc/passwd'\n",
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd",
    }
    for name, data in contents.items():
        for ending in ("png", "jpg"):
            yield f"{name} as {ending}", f"x.{ending}", data, {415}
    for seed in range(20):
        yield f"noise {seed}", "x.png", random.Random(seed).randbytes(seed * seed * 10 + 1), {415}


def polyglots() -> Iterator[Case]:
    script = b"<script>alert(document.domain)</script>"
    yield "GIF and script", "x.gif", b"GIF89a/*" + script + b"*/=1;", {413, 415, 422}
    for name, magic in {
        "PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff\xe0", "BMP": b"BM", "TIFF": b"II*\0",
        "WebP": b"RIFF\x20\0\0\0WEBP", "AVIF": b"\0\0\0\x20ftypavif", "PPM": b"P6\n",
    }.items():  # fmt: skip
        yield f"{name} start and HTML", "x.html", magic + b"<!doctype html>" + script * 9, {413, 415, 422}
        yield f"{name} start and PDF", "x.pdf", magic + b"%PDF-1.7\n" + bytes(100), {413, 415, 422}
        yield f"{name} start and ZIP", "x.zip", magic + b"PK\x03\x04" + bytes(100), {413, 415, 422}


def too_large() -> Iterator[Case]:
    for size in (LIMIT + 1, LIMIT + 70_000, 3 * LIMIT):
        yield f"{size} zeros", "x.png", bytes(size), {413}
        yield f"{size} bytes of a good image", "x.png", encoded("PNG") + bytes(size), {413}


def encoded(kind: str) -> bytes:
    """Return a whole image of noise, so that every part of the file matters."""
    pixels = np.random.default_rng(3).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes = b"", before: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 12, 0, 0, 54) + header + bytes(12)


def tiff(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 2**31}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)
