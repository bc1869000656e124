"""The command `blend` from images to the model file, and that the file does what was cross-validated."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from deep_ranking.blend.learn import Blend, BlendSettings
from deep_ranking.blend.network import frozen_backbone
from deep_ranking.blend.run import Descriptions, learn, ranked_right, text_query_groups
from deep_ranking.blend.settings import READINGS, LearnSettings
from deep_ranking.cli import main
from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import read_image
from deep_ranking.triplets.table import Triplets

READING = LearnSettings(weights="none", image_size=64, engine="keras", seed=3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Drawn images with triplets by their known relevance."""
    folder = tmp_path_factory.mktemp("drawn")
    data, triplets = str(folder / "data"), str(folder / "triplets.txt")
    sizes = ["--images_per_class", "6", "--size", "48", "--quiet"]
    assert main(["prepare", "demo", "--output", data, "--triplets", triplets, *sizes]) == 0
    return data, triplets


@pytest.fixture(scope="module")
def described(drawn):
    table = Triplets.load(drawn[1], drawn[0])
    return table, Descriptions.of(table.images, READING)


def test_the_saved_model_embeds_as_the_blend_does(drawn, described, tmp_path, capsys):
    data, triplets = drawn
    model = tmp_path / "blend.h5"
    flags = ["--weights", "none", "--image_size", "64", "--engine", "keras", "--seed", "3", "--folds", "2"]
    given = ["--dataset", data, "--triplets", triplets, "--model", str(model), "--components", "16"]
    assert main(["blend", *given, *flags, "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    embedder = Model.load(model)
    assert embedder.metadata["metrics"]["cross_validated_precision"] == printed["cross_validated_precision"]

    table, found = described
    blend = Blend.fit(found.descriptions, table.rows, found.settings(BlendSettings(16, seed=3)))
    assert printed["weights"] == pytest.approx(blend.weights, rel=1e-3)
    vectors = embedder.embed_all(table.images[:20])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    ours = blend.vectors({name: x[:20] for name, x in found.descriptions.items()})
    # Axes of equal strength may be turned; distances are what counts.
    np.testing.assert_allclose(vectors @ vectors.T, ours @ ours.T, atol=2e-3)


@pytest.mark.long
def test_in_python_it_is_what_the_command_does(drawn, tmp_path, capsys):
    table = Triplets.load(drawn[1], drawn[0])
    settings = replace(READING, folds=2, components=16)
    learned = learn(table, tmp_path / "blend.h5", settings)
    assert "cross-validation" not in capsys.readouterr().err
    saved = Model.load(tmp_path / "blend.h5")
    np.testing.assert_array_equal(
        saved.embed_all(table.images[:5]), Model(learned.network).embed_all(table.images[:5])
    )
    assert saved.metadata["metrics"]["cross_validated_precision"] == learned.precision._asdict()
    assert saved.metadata["blend"]["weights"] == learned.weights
    assert (learned.groups, learned.precision.value > 0.5) == (8, True)


def test_the_readings_are_those_of_the_backbone(described):
    """Of the last layer, without Keras's pooling and normalization; of both sides, and of one."""
    table, found = described
    maps = Model(keras.Model(found.frozen.input, keras.layers.Flatten()(found.frozen.outputs[0])))
    pixels = np.stack([read_image(path, (64, 64)) for path in table.images[:3]])

    def side(pixels):
        last = maps.embed_pixels(pixels).reshape(3, -1)  # 2x2 positions are the quadrants themselves
        rooted = last / np.sqrt(last + 1e-6)
        return rooted / np.linalg.norm(rooted, axis=1, keepdims=True)

    both = side(pixels) + side(pixels[:, :, ::-1])
    expected = both / np.linalg.norm(both, axis=1, keepdims=True)
    np.testing.assert_allclose(found.descriptions["layout"][:3], expected, atol=2e-3)
    alone = Descriptions.of(table.images[:3], replace(READING, average_mirror=False))
    np.testing.assert_allclose(alone.descriptions["layout"], side(pixels), atol=2e-3)


def test_text_queries_stay_on_one_side(described, capsys):
    table, found = described
    groups = text_query_groups(table.images, table.rows)
    assert groups.max() + 1 == 8  # one a class: the drawn triplets stay within theirs
    right = ranked_right(found.descriptions, table.rows, groups, BlendSettings(8), count=2)
    assert "cross-validation" in capsys.readouterr().err
    assert right.shape == (len(table),)
    assert right.mean() > 0.5


def test_what_is_refused(drawn, described):
    with pytest.raises(DeepRankingError, match="backbone: expected one of mobilenetv2"):
        frozen_backbone(LearnSettings("vgg16", "none", 64))
    with pytest.raises(DeepRankingError, match="image_size: expected a multiple of 32"):
        frozen_backbone(LearnSettings("mobilenetv2", "none", 100))
    _, found = described
    unknown = Blend({}, {"smell": 1.0}, None, None)
    with pytest.raises(DeepRankingError, match="weights: expected some of"):
        found.network(unknown)


@pytest.mark.parametrize("backbone", READINGS)
def test_each_backbone_has_the_layers_that_are_read(backbone):
    frozen = frozen_backbone(LearnSettings(backbone, "none", 64))
    assert len(frozen.outputs) == len(READINGS[backbone])
    assert not frozen.trainable_variables
