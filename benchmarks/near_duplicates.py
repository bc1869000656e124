"""Which copies of photos are found, by kind, and which pairs are none: by `duplicates`, and by hashes.

    python benchmarks/near_duplicates.py [PHOTOS] [--quick]

PHOTOS holds a folder a text query (`deep-ranking prepare human-triplets`): photos of one query are the hard
negatives; without it pictures are drawn, and their colours stand for vectors. Of 1,650 photos, 150 get a copy
of each of 24 kinds; all are embedded (MobileNetV2) and looked through at once. A copy is found if it stands
in a group with its photo. What is found among the photos themselves is listed, to be looked at: people do
put one photo on the web many times.

Each pair among the photos themselves is looked up by its content in `judged_pairs.csv`, where it is written
what a person saw in them side by side: copies of one picture, or not. What is not written there yet is
listed, and `--sheets FOLDER` lays the pairs out to be looked at.

Beside it three hashes, at the thresholds that their makers name: imagehash's `phash` (10 of 64 bits), PDQ (31
of 256) and imagededup's PHash (10 of 64). They run in a Python of their own, which `make peers` makes;
imagededup brings Torch.
"""

import csv
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
from outcome import Outcome
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from scale import parser

import deep_ranking as dr

P3 = np.array([[0.8225, 0.1774, 0], [0.0332, 0.9669, 0], [0.0171, 0.0724, 0.9108]])
LETTERS = "abcdefgh  ijklmnop"
JUDGED = Path(__file__).with_name("judged_pairs.csv")
PEERS = Path(__file__).parents[1] / ".venv-peers/bin/python"
HASHES = {
    "imagehash's phash": (10, "import imagehash", "imagehash.phash(Image.open(path)).hash"),
    "PDQ": (31, "import pdqhash", "pdqhash.compute(np.asarray(Image.open(path).convert('RGB')))[0]"),
    "imagededup's PHash": (
        10,
        "from imagededup.methods import PHash; hasher = PHash(verbose=False)",
        "np.unpackbits(np.frombuffer(bytes.fromhex(hasher.encode_image(path)), np.uint8))",
    ),
}
"""Of each, the bits of its hash in which copies differ at most, and how a path is hashed."""
SURE = {"bytes", "png", "q85", "q50", "q20", "webp", "half", "quarter", "double", "cmyk", "p3", "grey"}
SURE |= {"mirrored", "turned"}


def scaled(image: Image.Image, by: float) -> Image.Image:
    return image.resize((round(image.width * by), round(image.height * by)), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    """Cut twice a share off each direction, anywhere."""
    width, height = image.size
    left, top = rng.uniform(0, 2 * share * width), rng.uniform(0, 2 * share * height)
    right, bottom = left + (1 - 2 * share) * width, top + (1 - 2 * share) * height
    return image.crop((round(left), round(top), round(right), round(bottom)))


def as_p3(image: Image.Image) -> Image.Image:
    """Return the numbers of the same colours in Display P3, as where the profile got lost."""
    values = np.asarray(image) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ P3.T
    curved = 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    encoded = np.where(linear <= 0.0031308, linear * 12.92, curved)
    return Image.fromarray(np.clip(encoded * 255 + 0.5, 0, 255).astype(np.uint8))


def warmer(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.minimum(255, np.asarray(image) * [1.15, 1, 0.8]).astype(np.uint8))


def watermarked(image: Image.Image) -> Image.Image:
    image, size = image.copy(), max(10, image.height // 12)
    place = image.width * 0.5, image.height * 0.85
    ImageDraw.Draw(image).text(place, "© example.org", fill="white", font_size=size)
    return image


def screenshot(image: Image.Image, rng: random.Random) -> Image.Image:
    width, height = rng.choice([(720, 1280), (1280, 800)])
    page = Image.new("RGB", (width, height), rng.choice(["white", "#111418", "#f0f2f5"]))
    draw = ImageDraw.Draw(page)
    photo = scaled(image, min(width * 0.95 / image.width, height * 0.6 / image.height) * rng.uniform(0.75, 1))
    x, y = (
        rng.randrange(width - photo.width + 1),
        rng.randrange(height // 10, height - photo.height - height // 8),
    )
    draw.rectangle((0, 0, width, height // 18), fill="#3b5998")
    for place in (height // 14, *range(y + photo.height + 34, y + photo.height + 90, 24)):
        draw.text((20, place), "".join(rng.choices(LETTERS, k=40)), fill="#777777", font_size=18)
    page.paste(photo, (x, y))
    return page


def repost(image: Image.Image, rng: random.Random) -> Image.Image:
    image = scaled(cropped(image, 0.05, rng), 1.5)
    bar = image.height // 6
    page = Image.new("RGB", (image.width, image.height + bar), "white")
    page.paste(image, (0, bar))
    words = "".join(rng.choices("WHEN YOU SEE IT", k=18))
    ImageDraw.Draw(page).text((8, bar // 4), words, fill="black", font_size=max(10, bar // 2))
    return ImageEnhance.Color(page).enhance(1.2)


def write_copies(source: Path, folder: Path, name: str, seed: int) -> None:
    """Write the 24 kinds of copies of a photo: `name_KIND.ENDING`."""
    photo, rng = Image.open(source).convert("RGB"), random.Random(seed)
    shutil.copy(source, folder / f"{name}_bytes.jpg")
    photo.save(folder / f"{name}_png.png")
    photo.save(folder / f"{name}_webp.webp", quality=70)
    for quality in (85, 50, 20):
        photo.save(folder / f"{name}_q{quality}.jpg", quality=quality)
    turn = rng.choice([Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270])
    border = rng.choice(["white", "black"])
    copies = {
        "half": scaled(photo, 0.5),
        "quarter": scaled(photo, 0.25),
        "double": scaled(photo, 2),
        "cmyk": photo.convert("CMYK"),
        "p3": as_p3(photo),
        "grey": photo.convert("L"),
        "brighter": ImageEnhance.Brightness(photo).enhance(1.3),
        "contrast": ImageEnhance.Contrast(photo).enhance(1.4),
        "warmer": warmer(photo),
        "watermark": watermarked(photo),
        "crop5": cropped(photo, 0.05, rng),
        "crop10": cropped(photo, 0.1, rng),
        "crop15": cropped(photo, 0.15, rng),
        "border": ImageOps.expand(photo, round(0.08 * max(photo.size)), border),
        "mirrored": ImageOps.mirror(photo),
        "turned": photo.transpose(turn),
        "screenshot": screenshot(photo, rng),
        "repost": repost(photo, rng),
    }
    for kind, image in copies.items():
        image.save(folder / f"{name}_{kind}.jpg", quality=80 if kind in ("screenshot", "repost") else 90)


def gather(photos: Path, folder: Path, count: int, copied: int) -> None:
    """Write photos, `NUMBER.jpg`, and copies of some, `NUMBER_KIND.ENDING`; each content once."""
    queries = sorted(path for path in photos.iterdir() if path.is_dir())
    random.Random(0).shuffle(queries)
    seen: set[bytes] = set()
    chosen: list[Path] = []
    for path in (path for query in queries for path in sorted(query.iterdir())):
        large = len(chosen) < count and min(Image.open(path).size) >= 80
        if large and (data := path.read_bytes()) not in seen:
            seen.add(data)
            chosen.append(path)
    for number, path in enumerate(chosen):
        shutil.copy(path, folder / f"{number:04}.jpg")
    for number in random.Random(0).sample(range(len(chosen)), copied):
        write_copies(chosen[number], folder, f"{number:04}", number)


class Colours:
    """Embeds an image as its colours at 4 x 4 points."""

    dimension, fingerprint = 48, "colours"

    def embed(self, paths: list, *, quiet: bool = True) -> tuple[np.ndarray, list]:
        return np.stack([dr.read_image(path, (4, 4)).ravel() / np.float32(255) for path in paths]), []


def drawn(folder: Path, count: int) -> Path:
    """Write pictures of blurred noise and discs into a folder of a folder."""
    (folder / "query").mkdir(parents=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        image = Image.new("RGB", (240, 180))
        for cells in (4, 9, 25):
            some = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            image = Image.blend(image, some.resize(image.size, Image.Resampling.BICUBIC), 0.5)
        for x, y, size in rng.integers(10, 150, (12, 3)).tolist():
            ImageDraw.Draw(image).ellipse((x, y, x + size // 3, y + size // 3), fill=(size, x, y))
        image.save(folder / "query" / f"{number:04}.jpg", quality=95)
    return folder


def recall(found: set[tuple[str, str]], names: list[str]) -> dict[str, float]:
    """Return by kind the share of the copies that are found with their photo."""
    total: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for name in (name for name in names if "_" in name):
        kind = name.split("_")[1].split(".")[0]
        total[kind] += 1
        right[kind] += (f"{name[:4]}.jpg", name) in found
    return {kind: right[kind] / total[kind] for kind in total}


def hashes_of(kind: str, folder: Path, names: list[str]) -> np.ndarray | None:
    """Return the bits of a library's hash of each image, (n, bits); None, and why, where it is missing."""
    _, start, made = HASHES[kind]
    code = f"import sys, json; import numpy as np; from PIL import Image; {start}\n"
    code += f"print(json.dumps([''.join('01'[int(bit)] for bit in np.ravel({made}))"
    code += " for path in map(str.strip, sys.stdin)]))"
    python = str(PEERS) if PEERS.exists() else sys.executable
    paths = "\n".join(str(folder / name) for name in names)
    run = subprocess.run([python, "-W", "ignore", "-c", code], input=paths, capture_output=True, text=True)
    if run.returncode:
        print(f"{kind}: {(run.stderr.strip() or 'failed').splitlines()[-1]} (`make peers` installs it)")
        return None
    return np.array([[bit == "1" for bit in bits] for bits in json.loads(run.stdout.splitlines()[-1])])


def beside(kind: str, folder: Path, names: list[str], by_kind: dict[str, float], outcome: Outcome) -> None:
    """Add what a library's hash finds, and by how much it finds less of the kind that it does best."""
    if (bits := hashes_of(kind, folder, names)) is None:
        return
    place = {name: row for row, name in enumerate(names)}
    pairs = ((f"{name[:4]}.jpg", name) for name in names if "_" in name)
    near = {(a, b) for a, b in pairs if np.count_nonzero(bits[place[a]] != bits[place[b]]) <= HASHES[kind][0]}
    theirs = recall(near, names)
    outcome.add("all kinds", f"found by {kind}", float(np.mean(list(theirs.values()))))
    least = min(by_kind[name] - share for name, share in theirs.items())
    outcome.add("the kind it does best", f"1 + lead over {kind}", 1 + least, 1.0)


def among_photos(members: list[list[str]]) -> list[tuple[str, str]]:
    """Return the pairs of photos, and not of their copies, that stand in one group."""
    pairs = (combinations(sorted({path[:4] for path in some}), 2) for some in members)
    return sorted({pair for some in pairs for pair in some})


def judge(folder: Path, pairs: list[tuple[str, str]]) -> Counter[str]:
    """Count what was written down of the pairs, and print those of which nothing was."""
    with JUDGED.open(encoding="utf-8", newline="") as file:
        known = {frozenset((row["one"], row["other"])): row["verdict"] for row in csv.DictReader(file)}
    verdicts: Counter[str] = Counter()
    for pair in pairs:
        contents = [hashlib.sha256((folder / f"{name}.jpg").read_bytes()).hexdigest()[:16] for name in pair]
        verdict = known.get(frozenset(contents), "not judged")
        verdicts[verdict] += 1
        if verdict == "not judged":
            print("look at:", *pair, *contents)
    return verdicts


def lay_out(folder: Path, pairs: list[tuple[str, str]], sheets: Path) -> None:
    """Write sheets of 40 pairs, side by side, under their names."""
    sheets.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(pairs), 40):
        sheet = Image.new("RGB", (5 * 330, 8 * 180), "white")
        for number, pair in enumerate(pairs[start : start + 40]):
            x, y = number % 5 * 330, number // 5 * 180
            ImageDraw.Draw(sheet).text((x, y), " ".join(pair), fill="black")
            for side, name in enumerate(pair):
                photo = Image.open(folder / f"{name}.jpg").convert("RGB")
                photo.thumbnail((160, 164))
                sheet.paste(photo, (x + 164 * side, y + 14))
        sheet.save(sheets / f"pairs{start // 40}.png")


def found_in(
    folder: Path, names: list[str], index: dr.Index, verify: bool
) -> tuple[dict[str, float], list[tuple[str, str]]]:
    """Return the share of each kind that is found, and the pairs that are found among the photos."""
    groups = index.duplicates(verify=verify)
    members = [[image.path for image in group.images] for group in groups]
    return recall({(a, b) for some in members for a in some for b in some}, names), among_photos(members)


def main() -> None:
    flags = parser(__doc__, "300 photos, copies of 10")
    flags.add_argument("photos", type=Path, nargs="?", help="a folder of folders of photos")
    flags.add_argument("--model", help="the network; left out: the pretrained one")
    flags.add_argument("--sheets", type=Path, help="where to lay out the pairs among the photos")
    given = flags.parse_args()
    count, copied = {"full": (1650, 150), "quick": (300, 10), "tiny": (12, 1)}[given.scale]
    outcome = Outcome("near_duplicates")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "photos")
        folder.mkdir()
        gather(given.photos or drawn(Path(temporary, "drawn"), count), folder, count, copied)
        names = sorted(path.name for path in folder.iterdir())
        with dr.Index.from_folder(folder, dr.load(given.model) if given.photos else Colours()) as index:
            by_kind, pairs = found_in(folder, names, index, verify=False)
            verified, more = found_in(folder, names, index, verify=True)
        for kind, share in by_kind.items():
            outcome.add(kind, "found", share, 1.0 if kind in SURE else None)
        outcome.add("all kinds", "found", float(np.mean(list(by_kind.values()))), 0.95)
        for kind in (kind for kind, share in verified.items() if share < 1):
            outcome.add(kind, "found with verify", verified[kind])
        outcome.add("all kinds", "found with verify", float(np.mean(list(verified.values()))), 0.99)
        if given.photos:
            for case, some in (("pairs among photos", pairs), ("the same with verify", more)):
                for verdict, count in sorted(judge(folder, some).items()):
                    outcome.add(case, verdict, count)
                outcome.add(
                    case, "1 - share that is false", 1 - judge(folder, some)["false"] / max(1, len(some)), 1.0
                )
            if given.sheets:
                lay_out(folder, more, given.sheets)
        for kind in HASHES:
            beside(kind, folder, names, by_kind, outcome)
        outcome.show()


if __name__ == "__main__":
    main()
