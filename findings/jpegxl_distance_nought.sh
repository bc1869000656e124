#!/bin/bash
# imagecodecs' JPEG XL by distance=0 and by level=100, which are lossless for libjxl's own cjxl (-d 0, -q 100).
# Guessed before it was run: lossless, as the default is, and as level=100 is for WebP and AVIF by the same package.
# What comes: numbers up to 18 of 255 off, and 1,289 of 65,535, for a noisy picture: a distance turns the lossless mode off, and 0 is
# then the finest of the lossy ones. Of 8 bits, the file is larger than the lossless one. level=101, lossless=True or nothing is lossless.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet imagecodecs==2026.3.6 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
import imagecodecs, numpy as np

down, across = np.mgrid[:96, :128]
smooth = np.stack([np.sin(across / by) + np.cos(down / (by + 3)) for by in (7, 11, 17)], -1)
noisy = smooth + np.random.default_rng(0).normal(0, 0.05, smooth.shape)
shade = (noisy - noisy.min()) / (noisy.max() - noisy.min())
print(f"imagecodecs {imagecodecs.__version__}, {imagecodecs.jpegxl_version()}")
as_found = True
for codec, dtype, options, lossless in (
    ("jpegxl", "uint8", {}, True),
    ("jpegxl", "uint8", {"lossless": True}, True),
    ("jpegxl", "uint8", {"level": 101}, True),
    ("webp", "uint8", {"level": 100}, True),
    ("avif", "uint8", {"level": 100}, True),
    ("jpegxl", "uint8", {"distance": 0}, False),
    ("jpegxl", "uint8", {"level": 100}, False),
    ("jpegxl", "uint16", {}, True),
    ("jpegxl", "uint16", {"distance": 0}, False),
    ("jpegxl", "uint16", {"level": 100}, False),
):
    picture = (shade * np.iinfo(dtype).max).round().astype(dtype)
    packed = getattr(imagecodecs, f"{codec}_encode")(picture, **options)
    off = np.abs(getattr(imagecodecs, f"{codec}_decode")(packed).astype(int) - picture).max()
    print(f"{codec:6s} {dtype:6s} {str(options):18s} {len(packed):6,} bytes, at most {off} off, expected 0")
    as_found &= (off == 0) == lossless
sys.exit(not as_found)
P
