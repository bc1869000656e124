"""The commands features and golden."""

import json

import numpy as np
import pytest
from PIL import Image
from textures import texture

from deep_ranking.blend.golden import GoldenFeature
from deep_ranking.cli import main
from deep_ranking.extras.handmade import FEATURES
from deep_ranking.vectors import read_embeddings


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six text queries of four images: a texture, itself with noise, and two others."""
    root = tmp_path_factory.mktemp("dataset")
    lines = []
    for query in range(6):
        folder = root / "images" / f"query {query}"
        folder.mkdir(parents=True)
        image = texture(query)
        noisy = np.clip(image + np.random.default_rng(query).normal(0, 8, image.shape), 0, 255)
        Image.fromarray(image).save(folder / "q.png")
        Image.fromarray(noisy.astype(np.uint8)).save(folder / "p.png")
        for number in range(2):
            Image.fromarray(texture(100 + 2 * query + number)).save(folder / f"n{number}.png")
            lines.append(",".join(f"images/query {query}/{name}.png" for name in ("q", "p", f"n{number}")))
    (root / "triplets.txt").write_text("\n".join(lines) + "\n")
    return root


def run(*argv):
    return main([*map(str, argv), "--quiet"])


def test_the_help_names_every_feature(capsys):
    with pytest.raises(SystemExit):
        main(["features", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in FEATURES)


def test_features_then_golden(dataset, tmp_path, capsys):
    for name in ("color", "wavelet"):
        assert (
            run("features", "--dataset", dataset, "--feature", name, "--output", tmp_path / f"{name}.npz")
            == 0
        )
    embeddings = read_embeddings(tmp_path / "color.npz")
    assert embeddings.vectors.shape == (24, 400)
    assert "images/query 0/n0.png" in embeddings.paths
    capsys.readouterr()
    files = [f"{name}={tmp_path / name}.npz" for name in ("color", "wavelet")]
    output = tmp_path / "golden.json"
    triplets = dataset / "triplets.txt"
    assert run("golden", "--triplets", triplets, "--features", *files, "--output", output, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert GoldenFeature.load(output).weights == result["weights"]
    assert result["held_out_precision"]["value"] == 1
    assert run("golden", "--triplets", triplets, "--features", *files, "--output", output) == 0
    assert "100.0% (95% 100.0% to 100.0%; 12 triplets, 6 groups)" in capsys.readouterr().out


def test_a_codebook_is_written_and_used_again(dataset, tmp_path, capsys):
    arguments = ["features", "--dataset", dataset, "--feature", "texton", "--cache", tmp_path / "cache"]
    arguments += ["--codebook", tmp_path / "texton-codebook.npz", "--json"]
    assert run(*arguments, "--output", tmp_path / "1.npz") == 0
    written = (tmp_path / "texton-codebook.npz").stat().st_mtime_ns
    assert run(*arguments, "--output", tmp_path / "2.npz") == 0
    assert (tmp_path / "texton-codebook.npz").stat().st_mtime_ns == written
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    assert json.loads(capsys.readouterr().out.splitlines()[0])["images"] == 24


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--feature", "colour"], "expected one of wavelet, color, sift"),
        (["--feature", "color", "--codebook", "x.npz"], "color needs none"),
        (["--feature", "color", "--workers", "0"], "workers: expected 1 or more"),
        (["--feature", "color", "--dataset", "missing"], "expected a folder of images"),
    ],
)
def test_what_is_wrong_is_said(dataset, tmp_path, capsys, argv, message):
    output = tmp_path / "out.npz"
    assert run("features", "--dataset", dataset, "--output", output, *argv) == 1
    assert message in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("color.npz", "expected NAME=FILE"),
        ("color=missing.npz", "missing.npz"),
        ("color={}", "no embedding of"),
    ],
)
def test_golden_says_what_is_wrong(dataset, tmp_path, capsys, features, message):
    np.savez(tmp_path / "some.npz", paths=np.array(["a.png"]), vectors=np.ones((1, 2), np.float32))
    given = features.format(tmp_path / "some.npz")
    assert (
        run("golden", "--triplets", dataset / "triplets.txt", "--features", given, "--output", tmp_path / "g")
        == 1
    )
    assert message in capsys.readouterr().err
    assert not (tmp_path / "g").exists()
