"""recipes/backbones: a table of a small preset from a folder, nothing fetched, whose figures are right."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("keras_hub", reason="the extra hub is not installed")
import presets

pytestmark = pytest.mark.long  # a process with KerasHub: 25 s

ROOT = Path(__file__).parents[1]
CLASSES, QUERIES = 4, 12
RNG = np.random.default_rng(0)


def stripes(turn):
    """An image of stripes, upright or level, in random colours and noise; two turns are two classes."""
    wave = np.sin(np.arange(32) * (turn // 2 + 1))[:, None, None] * np.ones((1, 32, 1))
    image = 128 + 60 * (wave if turn % 2 else wave.swapaxes(0, 1)) + RNG.normal(0, 40, (32, 32, 3))
    data = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Rated triplets of text queries, and Tiny ImageNet's layout."""
    folder = tmp_path_factory.mktemp("archives")
    with zipfile.ZipFile(folder / "human.zip", "w") as archive:
        lines = []
        for query in range(QUERIES):
            for name, turn in (("a", query), ("b", query), ("c", query + 1)):
                archive.writestr(f"images/query{query}/{name}.jpg", stripes(turn % CLASSES))
            names = [f"images/query{query}/{name}.jpg" for name in "abc"]
            lines += [",".join(names), ",".join([names[1], names[0], names[2]])]
        archive.writestr("triplets.txt", "\n".join(lines) + "\n")
    with zipfile.ZipFile(folder / "tiny.zip", "w") as archive:
        wnids = [f"n0{turn}" for turn in range(CLASSES)]
        archive.writestr("tiny/wnids.txt", "".join(f"{wnid}\n" for wnid in wnids))
        archive.writestr("tiny/words.txt", "".join(f"{wnid}\tstripes\n" for wnid in wnids))
        told = []
        for turn, wnid in enumerate(wnids):
            for k in range(6):
                archive.writestr(f"tiny/train/{wnid}/images/{wnid}_{k}.JPEG", stripes(turn))
            for k in range(3):
                archive.writestr(f"tiny/val/images/val_{turn}{k}.JPEG", stripes(turn))
                told.append(f"val_{turn}{k}.JPEG\t{wnid}\t0\t0\t62\t62\n")
        archive.writestr("tiny/val/val_annotations.txt", "".join(told))
    return folder


@pytest.fixture(scope="module")
def ran(archives):
    preset = presets.make("densenet", archives / "small")
    command = [sys.executable, "-m", "recipes.backbones", "--presets", f"hub:{preset}", "--image_size", "32"]
    command += ["--human", archives / "human.zip", "--tiny", archives / "tiny.zip"]
    command += ["--output", archives / "out", "--gallery", "5", "--queries", "2"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"KERAS_HOME": str(archives)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (kept,) = (archives / "out").glob("*.npz")
    return [line.strip("| ").split(" | ") for line in done.stdout.splitlines()], dict(np.load(kept))


def by_hand(human, gallery, queries):
    """Similarity precision, nearest neighbour and MAP@R in percent, one by one."""
    first = np.arange(0, len(human), 3)
    rows = [(a, b, c) for i in first for a, b, c in ((i, i + 1, i + 2), (i + 1, i, i + 2))]
    right = [np.sum((human[a] - human[b]) ** 2) < np.sum((human[a] - human[c]) ** 2) for a, b, c in rows]
    nearest, average = [], []
    for number, query in enumerate(queries):
        order = np.argsort(((gallery - query) ** 2).sum(axis=1))[:5]
        hits = order // 5 == number // 2
        nearest.append(hits[0])
        average.append(sum(hits[: k + 1].mean() for k in range(5) if hits[k]) / 5)
    return [100 * float(np.mean(part)) for part in (right, nearest, average)]


def value(cell):
    return float(cell.split(" (")[0])


def test_rows(ran):
    (head, _, *rows), kept = ran
    assert head == ["network", "vectors", "rated triplets", "nearest neighbour", "MAP@R"]
    count = kept["human"].shape[1]
    assert [row[1] for row in rows] == ["plain", f"{count} components", "learned, 250"], "24 is all there are"
    assert {row[0].partition(":")[0] for row in rows} == {"hub"}


def test_plain_and_components_against_their_definitions(ran):
    (_, _, plain, reduced, *_), kept = ran
    parts = [kept[name].astype(float) for name in ("human", "gallery", "queries")]
    assert [len(part) for part in parts] == [3 * QUERIES, 5 * CLASSES, 2 * CLASSES]
    assert [value(cell) for cell in plain[2:]] == pytest.approx(by_hand(*parts), abs=0.06)
    means = parts[0].mean(axis=0), parts[1].mean(axis=0), parts[1].mean(axis=0)
    centred = [part - mean for part, mean in zip(parts, means, strict=True)]  # all components: a turn
    centred = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in centred]
    assert [value(cell) for cell in reduced[2:]] == pytest.approx(by_hand(*centred), abs=0.06)
