#!/bin/bash
# The label of a WebDataset sample, NAME.cls beside NAME.jpg, is a text file; class names as text are what people put there.
# Guessed before it was run: datasets' and webdataset's own readers give b"cat" back as the text "cat".
# What comes: both take the text for a whole number and raise (datasets as it prepares the set, with nothing that
# names file or sample; webdataset as it decodes); only a number, as "3", comes back, and as an int.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet datasets==5.2.0 webdataset==1.0.2 pillow==13.0.0 2>/dev/null
HF_HUB_OFFLINE=1 "$T/venv/bin/python" - "$T" <<'P'
import io, sys, tarfile
import datasets, webdataset
from PIL import Image

folder = sys.argv[1]
picture = io.BytesIO()
Image.new("RGB", (8, 8)).save(picture, "PNG")

def tar(name, labels):
    with tarfile.open(f"{folder}/{name}", "w") as archive:
        for number, label in enumerate(labels):
            for member, content in ((f"{number}.png", picture.getvalue()), (f"{number}.cls", label)):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return f"{folder}/{name}"

def by_datasets(path):
    rows = datasets.load_dataset("webdataset", data_files=path, split="train", cache_dir=f"{folder}/cache")
    return [row["cls"] for row in rows]

def by_webdataset(path):
    return [row["cls"] for row in webdataset.WebDataset(path, shardshuffle=False).decode("pil")]

def outcome(read, path):
    try:
        return read(path)
    except Exception as error:
        return f"raises {type(error).__name__}: {str(error).strip()[:70]}"

print(f"datasets {datasets.__version__}, webdataset {webdataset.__version__}")
words, numbers = tar("words.tar", [b"cat", b"dog"]), tar("numbers.tar", [b"3", b"4"])
as_found = True
for name, read in (("datasets", by_datasets), ("webdataset", by_webdataset)):
    of_words, of_numbers = outcome(read, words), outcome(read, numbers)
    print(f"{name}: expected ['cat', 'dog'], came: {of_words}; of 3 and 4 came: {of_numbers}")
    as_found &= isinstance(of_words, str) and of_numbers == [3, 4]
sys.exit(not as_found)
P
