"""recipes/defects: each defect is what it is called, the intervals are right, and all of it runs."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from deep_ranking import TripletHingeLoss

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes/defects"
TARGETS = np.zeros((6, 1))
EMBEDDINGS = np.array([[0.0, 1], [1, 0], [0, 1], [0, 1], [0, 1], [-0.6, -0.8]], np.float32)


@pytest.fixture(scope="module")
def recipe():
    names = ("parts", "ways", "learn", "scores", "table", "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPE)
        for name in names:  # modules of other tests may have the same names
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            del sys.modules[name]


def test_an_easy_triplet_hides_a_violated_one_in_the_hinge_of_the_mean(recipe):
    # D(q, p) - D(q, n) is 2 and -3.6: hinges 2.2 and 0, their mean 1.1; the mean -0.8, its hinge 0.
    assert float(TripletHingeLoss(0.2, "squared_euclidean")(TARGETS, EMBEDDINGS)) == pytest.approx(1.1)
    assert float(recipe["ways"].OfMeans(0.2, "squared_euclidean")(TARGETS, EMBEDDINGS)) == 0


def test_clipping_takes_negative_coordinates_for_0(recipe):
    negative = np.array([[0.6, -0.8], [0.6, -0.8], [0.6, 0.8]], np.float32)
    clipped = negative.clip(0, 1)
    loss, right = (kind(1.0, "squared_euclidean") for kind in (recipe["ways"].Clipped, TripletHingeLoss))
    assert float(loss(TARGETS[:3], negative)) == pytest.approx(float(right(TARGETS[:3], clipped)), abs=1e-5)
    assert float(right(TARGETS[:3], negative)) == 0


def test_the_strided_network_reads_one_pixel_of_each_square(recipe):
    learn, ways = recipe["learn"], recipe["ways"]
    averaging = learn.from_random_weights(ways.RIGHT)
    taking = learn.strided(averaging)
    for a, b in zip(averaging.get_weights(), taking.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    image = keras.random.uniform((1, 64, 64, 3), seed=1)
    average, taken = (network.get_layer("average_4")(image) for network in (averaging, taking))
    np.testing.assert_allclose(average[0, 2, 3], image[0, 8:12, 12:16].numpy().mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_array_equal(taken[0, 2, 3], image[0, 8, 12])


def test_an_interval_holds_images_and_seeds(recipe):
    rng = np.random.default_rng(0)
    of_images, of_seeds = np.tile(rng.normal(size=400), (5, 1)), rng.normal(size=(5, 1)) + np.zeros((5, 400))
    for values, deviation in ((of_images, 400**-0.5), (of_seeds, of_seeds[:, 0].std() / 5**0.5)):
        found = recipe["table"].figure(values)
        assert found.value == pytest.approx(values.mean())
        assert found.high - found.low == pytest.approx(3.92 * deviation, rel=0.15)


@pytest.mark.parametrize("best", [0.1, 1.0, 10.0, 1000.0])
def test_the_rate_is_one_that_is_better_than_those_beside_it(recipe, tmp_path, monkeypatch, best):
    runs, way, tried = recipe["runs"], recipe["ways"].RIGHT, []

    def measured(task, way, rate, seed, steps):
        tried.append((rate, seed))
        return {"validation": -np.abs(np.log([rate / best]))}

    monkeypatch.setattr(runs, "measured", measured)
    rates = (0.1, 1.0, 10.0, 100.0, 1000.0)
    rate, found = runs.with_best_rate(None, way, tmp_path / "runs", rates, seeds=4, steps=1)
    assert rate == best
    assert len(found) == 4
    assert len(set(tried)) == len(tried), "runs are kept"
    monkeypatch.setattr(runs, "measured", None)
    assert runs.with_best_rate(None, way, tmp_path / "runs", rates, seeds=4, steps=1)[0] == best


def test_parts_share_no_image(recipe):
    parts = recipe["parts"].drawn(3)
    seen = [image.tobytes() for part in parts for image in part.images[0]]
    assert len(set(seen)) == len(seen) == 3 * 8 * 3


@pytest.mark.long
def test_the_recipe_runs(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    budget = ["--images", "4", "--steps", "2", "--seeds", "2", "--rates", "0.01", "--only", "clipped"]
    done = subprocess.run(
        [sys.executable, RECIPE, "--output", tmp_path, *budget],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "results.json").read_text("utf-8"))["drawn set, random weights"]
    assert list(rows)[:2] == ["the right way", "embeddings clipped to 0..1"]
    assert (tmp_path / "table.md").read_text("utf-8") in done.stdout
    assert (tmp_path / "defects.png").read_bytes().startswith(b"\x89PNG")
