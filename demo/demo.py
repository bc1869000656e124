"""The whole way in a few minutes: draw a data set, sample triplets, train, compare, look at the result.

Run by `make demo`. Each step is the command that a user would type; all of it goes to demo/output/.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
ROOT = HERE.parent
OUTPUT = HERE / "output"
QUERIES, RESULTS, TILE, GAP = 6, 5, 96, 12


def main() -> int:
    """Run the steps and draw the picture."""
    start = time.monotonic()
    OUTPUT.mkdir(exist_ok=True)
    if not (OUTPUT / "dataset").exists():
        run("-m", "deep_ranking", "prepare", "demo", "--output", "dataset")
    run(
        ROOT / "triplet_sampler.py", "--input_directory", "dataset", "--output_directory", ".",
        "--num_pos_images", 5, "--num_neg_images", 2, "--validation_split", 0.25,
    )  # fmt: skip
    run(
        ROOT / "train.py", "--validation_triplets", "validation_triplets.txt", "--backbone", "simple",
        "--weights", "none", "--image_size", 64, "--embedding_size", 64, "--batch_size", 48, "--epochs", 8,
    )  # fmt: skip
    star, *_, stripes = sorted(folder for folder in (OUTPUT / "dataset").iterdir() if folder.is_dir())
    one, two, *_ = sorted(star.glob("*.*"))
    other = min(stripes.glob("*.*"))
    for second in (two, other):
        run(
            ROOT / "similarity.py", "--model", "deepranking.h5",
            "--image1", one.relative_to(OUTPUT), "--image2", second.relative_to(OUTPUT),
        )  # fmt: skip
    picture, held_out = draw_neighbours()
    print(f"\n{picture}: at the left a query, then its nearest among {held_out} images not trained on;")
    print("green: of its class, red: of another")
    print(f"done in {time.monotonic() - start:.0f} s")
    return 0


def run(*arguments: object) -> None:
    """Run one step in demo/output/, shown as it would be typed."""
    words = [str(argument) for argument in arguments]
    shown = " ".join("deep-ranking" if word == "deep_ranking" else word for word in words if word != "-m")
    print(f"\n$ {'' if words[0] == '-m' else 'python '}{shown.replace(str(ROOT) + '/', '')}", flush=True)
    subprocess.run([sys.executable, *words], cwd=OUTPUT, check=True)


def draw_neighbours() -> tuple[Path, int]:
    """Draw, for a validation image of several classes, the nearest others; return where, and of how many."""
    from deep_ranking import import_keras

    import_keras()
    from deep_ranking import Model, Triplets, nearest_neighbours, read_image, written_whole

    images = Triplets.load(OUTPUT / "validation_triplets.txt", OUTPUT / "dataset").images
    vectors = Model.load(OUTPUT / "deepranking.h5").embed(images).vectors
    classes = [Path(image).parent.name for image in images]
    queries = [classes.index(name) for name in sorted(set(classes))][:QUERIES]
    found = nearest_neighbours(vectors[queries], vectors, RESULTS, leave_out=np.array(queries))

    step = TILE + GAP
    sheet = Image.new("RGB", (GAP + step * (RESULTS + 1) + GAP, GAP + step * len(queries)), "white")
    pen = ImageDraw.Draw(sheet)
    for row, (query, nearest) in enumerate(zip(queries, found.indices, strict=True)):
        for column, position in enumerate([query, *nearest]):
            x, y = GAP + step * column + GAP * bool(column), GAP + step * row
            right = classes[position] == classes[query]
            colour = "#444444" if column == 0 else "#2a9d5c" if right else "#d1495b"
            pen.rectangle((x - 4, y - 4, x + TILE + 3, y + TILE + 3), outline=colour, width=3)
            sheet.paste(Image.fromarray(read_image(images[position], (TILE, TILE))), (x, y))
    path = OUTPUT / "neighbours.png"
    with written_whole(path) as temporary:
        sheet.save(temporary)
    return path.relative_to(ROOT), len(images)


if __name__ == "__main__":
    sys.exit(main())
