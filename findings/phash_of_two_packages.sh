#!/bin/bash
# The "perceptual hash" of 64 bits by imagehash and by OpenCV's img_hash: hashes of one, looked up among the other's.
# Guessed before it was run: but for the order of the bits, the same up to one or two of them.
# What comes: 4 of 64 bits apart on average for the very same pixels, up to 13, where 10 is the usual limit for "the same picture":
# they reduce the picture differently (Lanczos; linear), and the first compares with the median, the second with the mean.
# In the order that the bits come out, 32 apart, as two pictures that have nothing to do with each other.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet imagehash==4.3.2 opencv-contrib-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
import cv2, imagehash, numpy as np, PIL
from PIL import Image

rng = np.random.default_rng(0)
down, across = np.mgrid[:300, :400]
apart, unturned = [], []
for _ in range(40):
    waves = rng.normal(0, 0.03, (12, 2)) @ np.stack([across.ravel(), down.ravel()]) + 6 * rng.random((12, 1))
    grey = np.sin(waves).sum(0).reshape(300, 400)
    grey = (255 * (grey - grey.min()) / (grey.max() - grey.min())).astype(np.uint8)
    picture = np.stack([grey] * 3, -1)
    one = imagehash.phash(Image.fromarray(picture)).hash.ravel()
    other = cv2.img_hash.PHash_create().compute(picture)[0]
    apart.append(int((one != np.unpackbits(other, bitorder="little")).sum()))
    unturned.append(int((one != np.unpackbits(other)).sum()))
print(f"imagehash {imagehash.__version__}, OpenCV {cv2.__version__}, Pillow {PIL.__version__}; 40 pictures, bits of 64 that differ")
print(f"each byte's bits turned: mean {np.mean(apart):.1f}, most {max(apart)}; as they come: mean {np.mean(unturned):.1f}, fewest {min(unturned)}")
sys.exit(not (3 < np.mean(apart) < 8 and max(apart) > 10 and np.mean(unturned) > 28))
P
