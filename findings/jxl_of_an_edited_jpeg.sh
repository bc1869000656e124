#!/bin/bash
# A JPEG opened, changed in place (paste, thumbnail) and saved as JPEG XL by pillow-jxl-plugin.
# Guessed before it was run: the changed picture, by the quality asked for; the JPEG's own bytes are packed only where nothing was changed.
# What comes: the picture as it lies in the file, with neither change, also for lossless=True and quality=10: the writer looks
# at the image's format and file name, and packs that file (by quality=10, what is read back has half its sides). It
# warns that it packs the JPEG, not that the changes are gone. What makes a new image (resize, crop, convert, copy) has no
# format any more and is saved as it is; lossless_jpeg=False is the way for the rest.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet pillow==13.0.0 pillow-jxl-plugin==1.3.8 2>/dev/null
"$T/venv/bin/python" -W ignore - "$T" <<'P'
import importlib.metadata, sys
import PIL, pillow_jxl
from PIL import Image

jpeg, jxl = f"{sys.argv[1]}/one.jpg", f"{sys.argv[1]}/one.jxl"
Image.linear_gradient("L").resize((160, 120)).convert("RGB").save(jpeg, quality=95)

def black(image):
    image.paste((0, 0, 0), (0, 60, 160, 120))
    return image

def small(image):
    image.thumbnail((40, 40))
    return image

print(f"Pillow {PIL.__version__}, pillow-jxl-plugin {importlib.metadata.version('pillow-jxl-plugin')}")
as_found = True
for options in ({}, {"lossless": True}, {"quality": 10}, {"lossless_jpeg": False}):
    for name, change in (("half made black", black), ("made small", small), ("a copy, half made black", lambda image: black(image.copy()))):
        changed = change(Image.open(jpeg))
        changed.save(jxl, **options)
        saved = Image.open(jxl).convert("RGB")
        low = (9, saved.height - 3)
        kept = saved.size == changed.size and abs(saved.getpixel(low)[1] - changed.getpixel(low)[1]) < 40
        print(f"{name:24s} {str(options):24s} expected {changed.size} with the change, came {saved.size}, change kept: {kept}")
        as_found &= kept == (name.startswith("a copy") or options == {"lossless_jpeg": False})
sys.exit(not as_found)
P
