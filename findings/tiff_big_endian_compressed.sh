#!/bin/bash
# A big-endian TIFF whose numbers are of 32 bits, or signed and of 16, compressed: what Pillow gives for them.
# Guessed before it was run: the values that were written, as for the uncompressed file and for the little-endian one.
# What comes: the bytes of each number the other way round, without a word (2,100 is 872,939,520; floats are next to 0):
# what libtiff decompresses is in the machine's order already, and is turned once more. tifffile and OpenCV read it right.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet pillow==13.0.0 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.4.6 opencv-python-headless==5.0.0.93 2>/dev/null
"$T/venv/bin/python" - "$T" <<'P'
import sys
import cv2, numpy as np, PIL, tifffile
from PIL import Image

ramp = np.arange(64 * 64).reshape(64, 64) * 7.0
print(f"Pillow {PIL.__version__}, tifffile {tifffile.__version__}, OpenCV {cv2.__version__}")
as_found = True
for kind in ("int32", "float32", "int16"):
    for order in "<>":
        for packed in (None, "zlib"):
            path, true = f"{sys.argv[1]}/{kind}.tif", ramp.astype(kind)
            tifffile.imwrite(path, true, byteorder=order, compression=packed, photometric="minisblack")
            assert np.array_equal(tifffile.imread(path), true)
            if kind == "float32":
                assert np.array_equal(cv2.imread(path, cv2.IMREAD_UNCHANGED), true)
            came = np.asarray(Image.open(path))
            right = np.array_equal(came, true)
            turned = np.array_equal(came.astype(kind), true.byteswap())
            if not right:
                print(f"{kind}, big-endian, {packed}: wrote {true.flat[300]:.0f}, Pillow gives {came.flat[300]:.6g}")
            as_found &= turned if (order == ">" and packed) else right
sys.exit(not as_found)
P
