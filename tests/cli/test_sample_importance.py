"""`triplet_sampler.py --method importance`, and `--balance` without it."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from deep_ranking.cli import run_command
from deep_ranking.triplets import read_triplets

CLASSES = {"beagle": 6, "pug": 5, "tabby": 6, "manx": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset")
    for name, count in CLASSES.items():
        (root / name).mkdir()
        for number in range(count):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(root / name / f"{number}, a.png")
    return root


def sample(folder, output, *flags):
    argv = ["--method", "importance", "--input_directory", str(folder), "--output_directory", str(output)]
    status = run_command("sample", [*argv, "--quiet", *flags], prog="triplet_sampler.py")
    path = output / "triplets.txt"
    return status, list(read_triplets(path)) if path.exists() else None


def in_class(triplets):
    return [t for t in triplets if t.query.split("/")[0] == t.negative.split("/")[0]]


def images():
    return [f"{name}/{number}, a.png" for name, count in CLASSES.items() for number in range(count)]


def test_features_give_in_class_negatives_that_are_less_relevant(folder, tmp_path, capsys):
    value = np.array([float(name.split("/")[1].split(",")[0]) for name in images()])
    order = np.random.default_rng(0).permutation(len(value))
    np.savez(tmp_path / "features.npz", paths=np.array(images())[order], red=value[order, None])
    flags = ["--relevance", "features", "--features", str(tmp_path / "features.npz"), "--count", "3000"]
    status, triplets = sample(folder, tmp_path, *flags, "--feature_scale", "3", "--json")
    assert status == 0
    assert json.loads(capsys.readouterr().out)["files"][0]["triplets"] == len(triplets) == 3000
    inside = in_class(triplets)
    assert len(inside) == pytest.approx(0.8 * 3000, abs=100)
    of = dict(zip(images(), value, strict=True))
    for query, positive, negative in inside:
        near, far = (np.exp(-abs(of[query] - of[other]) / 3) for other in (positive, negative))
        assert near - far >= 0.1 - 1e-6
    first = (tmp_path / "triplets.txt").read_bytes()
    sample(folder, tmp_path, *flags, "--feature_scale", "3")
    assert (tmp_path / "triplets.txt").read_bytes() == first
    sample(folder, tmp_path, *flags, "--seed", "1")
    assert (tmp_path / "triplets.txt").read_bytes() != first


def test_hierarchy_gives_negatives_of_the_other_breed(folder, tmp_path):
    (tmp_path / "tree.tsv").write_text("beagle\tdog\npug\tdog\ntabby\tcat\nmanx\tcat\n")
    flags = ["--relevance", "hierarchy", "--hierarchy", str(tmp_path / "tree.tsv"), "--count", "2000"]
    _, triplets = sample(folder, tmp_path, *flags)
    kind = {"beagle": "dog", "pug": "dog", "tabby": "cat", "manx": "cat"}
    breeds = [[name.split("/")[0] for name in triplet] for triplet in triplets]
    assert all(kind[q] == kind[p] for q, p, _ in breeds)
    inside = [(q, p, n) for q, p, n in breeds if kind[q] == kind[n]]
    assert len(inside) == pytest.approx(0.8 * 2000, abs=80)
    assert all(q == p != n for q, p, n in inside)


def test_pairs_across_the_validation_split_are_left_out(folder, tmp_path):
    rows = [f'"{a}","{b}",1' for a in images() for b in images() if a < b and a[:3] == b[:3]]
    (tmp_path / "pairs.csv").write_text("image,other,relevance\n" + "\n".join(rows) + "\n")
    flags = ["--relevance", "pairs", "--pairs", str(tmp_path / "pairs.csv"), "--count", "200"]
    status, triplets = sample(
        folder, tmp_path, *flags, "--validation_split", "0.4", "--out_of_class_ratio", "1"
    )
    assert status == 0
    held_out = {name for triplet in read_triplets(tmp_path / "validation_triplets.txt") for name in triplet}
    assert len(held_out) == 8
    assert held_out.isdisjoint(name for triplet in triplets for name in triplet)


def test_pairs_are_the_only_positives_and_follow_the_equations(folder, tmp_path):
    pairs = ["beagle/0, a.png,beagle/1, a.png,1", "beagle/0, a.png,beagle/2, a.png,3"]
    quoted = [f'"{a},{b}","{c},{d}",{score}' for a, b, c, d, score in (pair.split(",") for pair in pairs)]
    (tmp_path / "pairs.csv").write_text("image,other,relevance\n" + "\n".join(quoted) + "\n")
    flags = ["--relevance", "pairs", "--pairs", str(tmp_path / "pairs.csv"), "--count", "4000"]
    status, triplets = sample(folder, tmp_path, *flags, "--out_of_class_ratio", "1")
    assert status == 0
    # By eq. 6, images 0, 1 and 2 have totals 4, 1, 3; by eq. 7, image 0 has positives 1 and 2 as 1 to 3.
    pair = Counter((t.query[7], t.positive[7]) for t in triplets)
    expected = {("0", "1"): 500, ("0", "2"): 1500, ("1", "0"): 500, ("2", "0"): 1500}
    assert pair.keys() == expected.keys()
    assert all(abs(pair[key] - expected[key]) < 150 for key in expected)


def test_labels_alone_have_no_in_class_negative(folder, tmp_path, capsys):
    _, triplets = sample(folder, tmp_path)
    assert len(triplets) == sum(n * (n - 1) * 5 for n in CLASSES.values())  # as many as --method uniform
    assert not in_class(triplets)
    status, triplets = sample(folder, tmp_path / "none", "--out_of_class_ratio", "0.5")
    assert (status, triplets) == (1, None)
    assert "out_of_class_ratio to 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--relevance", "pairs"], "name it with --pairs"),
        (["--relevance", "features", "--features", "FOLDER/features.npz"], "lacks 22 of 22 images"),
        (["--relevance", "features", "--features", "FOLDER/text.npz"], "expected an .npz file"),
        (["--relevance", "features", "--features", "FOLDER/cut.npz"], "expected an .npz file"),
        (["--count", "0"], "--count: expected 1 or more"),
        (["--method", "uniform", "--count", "5"], "need --method importance"),
        (["--relevance_margin", "0"], "relevance_margin: expected"),
    ],
)
def test_wrong_flags_are_an_error_and_leave_no_file(folder, tmp_path, capsys, flags, problem):
    np.savez(tmp_path / "features.npz", paths=np.array(["other.png"]), red=np.zeros((1, 2)))
    (tmp_path / "text.npz").write_text("no numbers")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "features.npz").read_bytes()[:300])
    status, triplets = sample(folder, tmp_path, *(flag.replace("FOLDER", str(tmp_path)) for flag in flags))
    assert (status, triplets) == (1, None)
    assert problem in capsys.readouterr().err


def test_feature_weights_are_read(folder, tmp_path, capsys):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "f.npz", paths=images(), a=rng.random((22, 2)), b=rng.random((22, 3)))
    flags = ["--relevance", "features", "--features", str(tmp_path / "f.npz"), "--count", "100"]
    assert sample(folder, tmp_path, *flags, "--feature_weights", "a=1,b=0.5")[0] == 0
    for wrong in ("a", "a=x", "=1", "c=1"):
        assert sample(folder, tmp_path, *flags, "--feature_weights", wrong)[0] == 1
        assert "weight" in capsys.readouterr().err


def test_how_queries_are_shared_out_is_said_where_a_class_is_large(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    counts = {"big": 12, "one": 4, "two": 4, "six": 4}
    for name, count in counts.items():
        (tmp_path / "dataset" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (4, 4), (number, len(name), 0)).save(
                tmp_path / "dataset" / name / f"{number}.png"
            )

    def said(*flags):
        assert run_command("sample", ["--quiet", *flags], prog="deep-ranking") == 0
        asking = Counter(triplet.query.split("/")[0] for triplet in read_triplets("triplets.txt"))
        return capsys.readouterr().out.splitlines()[1:2], asking["big"] / sum(asking.values())

    of = "of big, the largest class, are 50% of the images and the queries of"
    told, share = said()
    assert told == [
        f"balanced by images: {of} {share:.0%} of the triplets; --balance classes has as many of each class"
    ]
    assert share > 0.7
    told, share = said("--balance", "classes")
    assert told == [f"balanced by classes: {of} 25% of the triplets"]
    assert share == pytest.approx(0.25, abs=0.01)
    assert run_command("sample", ["--balance", "classes", "--method", "importance"], prog="deep-ranking") == 1
    assert "--balance: without effect; it needs --method uniform" in capsys.readouterr().err
