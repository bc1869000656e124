"""Which copies of photos are found, by kind, and which pairs are none: by `duplicates`, and by hashes.

    python benchmarks/near_duplicates.py [PHOTOS] [--quick]

PHOTOS holds a folder a text query (`deep-ranking prepare human-triplets`): photos of one query are the hard
negatives; without it pictures are drawn, and their colours stand for vectors. Of 1,650 photos, 150 get a copy
of each of 24 kinds; all are embedded (MobileNetV2) and looked through at once. A copy is found if it stands
in a group with its photo. What is found among the photos themselves is listed, to be looked at: people do
put one photo on the web many times.

Beside it imagehash's `phash` and PDQ, where they are installed, at the thresholds that their makers name
(10 of 64 bits, 31 of 256).
"""

import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from outcome import Outcome
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from scale import parser

import deep_ranking as dr

P3 = np.array([[0.8225, 0.1774, 0], [0.0332, 0.9669, 0], [0.0171, 0.0724, 0.9108]])
LETTERS = "abcdefgh  ijklmnop"
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


def hash_pairs(kind: str, folder: Path, names: list[str]) -> set[tuple[str, str]] | None:
    """Return the pairs of a photo and its copy that a library's hash tells; None where it is missing."""
    try:
        if kind == "phash":
            import imagehash

            made = [imagehash.phash(Image.open(folder / name)).hash.reshape(-1) for name in names]
        else:
            import pdqhash

            pixels = (np.asarray(Image.open(folder / name).convert("RGB")) for name in names)
            made = [pdqhash.compute(some)[0] for some in pixels]
    except ImportError:
        return None
    bits, place = np.array(made, bool), {name: row for row, name in enumerate(names)}
    limit = {"phash": 10, "PDQ": 31}[kind]
    pairs = ((f"{name[:4]}.jpg", name) for name in names if "_" in name)
    return {(a, b) for a, b in pairs if np.count_nonzero(bits[place[a]] != bits[place[b]]) <= limit}


def main() -> None:
    flags = parser(__doc__, "300 photos, copies of 10")
    flags.add_argument("photos", type=Path, nargs="?", help="a folder of folders of photos")
    given = flags.parse_args()
    count, copied = {"full": (1650, 150), "quick": (300, 10), "tiny": (12, 1)}[given.scale]
    outcome = Outcome("near_duplicates")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "photos")
        folder.mkdir()
        gather(given.photos or drawn(Path(temporary, "drawn"), count), folder, count, copied)
        with dr.Index.from_folder(folder, dr.load() if given.photos else Colours()) as index:
            groups = index.duplicates()
        names = sorted(path.name for path in folder.iterdir())
        members = [[image.path for image in group.images] for group in groups]
        found = {(a, b) for some in members for a in some for b in some}
        by_kind = recall(found, names)
        for kind, share in by_kind.items():
            outcome.add(kind, "found", share, 1.0 if kind in SURE else None)
        outcome.add("all kinds", "found", float(np.mean(list(by_kind.values()))), 0.95)
        strangers = [sorted({path[:4] for path in some}) for some in members]
        for some in (some for some in strangers if len(some) > 1):
            print("look at:", *some)
        for kind in ("phash", "PDQ"):
            if (pairs := hash_pairs(kind, folder, names)) is not None:
                theirs = recall(pairs, names)
                outcome.add("all kinds", f"found by {kind}", float(np.mean(list(theirs.values()))))
                least = min(by_kind[name] - share for name, share in theirs.items())
                outcome.add("the kind it does best", f"1 + lead over {kind}", 1 + least, 1.0)
        outcome.show()


if __name__ == "__main__":
    main()
