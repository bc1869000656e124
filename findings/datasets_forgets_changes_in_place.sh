#!/bin/bash
# A picture opened from a file and changed in place (made small by thumbnail, painted over), put into a Hugging Face data set.
# Guessed before it was run: the data set holds the picture as it is now.
# What comes: Pillow keeps the name of the file with the picture, and the data set takes the name for the picture: it holds the file as it
# was. A map that makes every picture small, or covers a face, changes nothing, without a word; where the very same
# pictures lie in the table as bytes (after to_parquet, from the Hub), or a copy is changed, it does what it says.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet datasets==5.2.0 pillow==13.0.0 numpy==2.4.6 2>/dev/null
HF_HUB_OFFLINE=1 HF_HOME="$T/home" "$T/venv/bin/python" - "$T" <<'P'
import sys
from pathlib import Path
import datasets, numpy as np, PIL
from PIL import Image

datasets.disable_progress_bars()
path = Path(sys.argv[1], "picture.png")
Image.fromarray(np.random.default_rng(0).integers(1, 256, (60, 80, 3), dtype=np.uint8)).save(path)

def change(picture):
    picture.thumbnail((40, 40))
    picture.paste((0, 0, 0), (0, 0, 10, 10))
    return picture

def changed(picture):
    return picture.size == (40, 30) and picture.getpixel((5, 5)) == (0, 0, 0)

def in_place(row):
    return {"image": change(row["image"])}

def on_a_copy(row):
    return {"image": change(row["image"].copy())}

def table(value):
    return datasets.Dataset.from_dict({"image": [value]}, features=datasets.Features({"image": datasets.Image()}))

opened = change(Image.open(path))
assert changed(opened)
by_name, by_bytes = table(str(path)), table({"bytes": path.read_bytes(), "path": None})
cases = (
    ("from_dict of a picture changed in place", table(opened), False),
    ("from_dict of a copy of it", table(opened.copy()), True),
    ("map in place, the table holds names", by_name.map(in_place), False),
    ("map of copies, the table holds names", by_name.map(on_a_copy), True),
    ("map in place, the table holds bytes", by_bytes.map(in_place), True),
)
print(f"datasets {datasets.__version__}, Pillow {PIL.__version__}; 80 x 60 made 40 x 30 with a black corner")
as_found = True
for name, rows, seen in cases:
    picture = rows[0]["image"]
    print(f"{name}: expected changed, came {'changed' if changed(picture) else 'as the file was'}, {picture.size}")
    as_found &= changed(picture) == seen and (seen or np.array_equal(picture, Image.open(path)))
sys.exit(not as_found)
P
