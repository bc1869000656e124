"""The refitted linear layer: the discriminants of the features before it, in the saved network."""

from dataclasses import replace

import numpy as np
import pytest

from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.training.frozen import Discriminants
from deep_ranking.training.run import train
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.table import Triplets

NETWORK = NetworkSettings("simple", image_size=32, embedding_size=8, low_resolution="none")
SETTINGS = TrainingSettings(
    NETWORK,
    weights="none",
    mining="proxies",
    classes_per_batch=3,
    images_per_class=2,
    augmentation="none",
    discriminants=0.3,
    epochs=1,
)


@pytest.mark.parametrize("epochs", [pytest.param(0, marks=pytest.mark.long), 1])
def test_the_saved_network_gives_the_discriminants_of_its_features(labelled, tmp_path, epochs):
    trained = train(labelled, tmp_path / "model.h5", replace(SETTINGS, epochs=epochs))
    bare = train(labelled, tmp_path / "bare.h5", replace(SETTINGS, epochs=epochs, discriminants=0.0))
    for a, b in zip(trained.network.get_weights()[:-2], bare.network.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(a, b)  # nothing but the linear layer is replaced
    before = build_network(replace(NETWORK, embedding_size=0))
    before.set_weights(bare.network.get_weights()[:-2])
    features = Model(before).embed_all(labelled.images)
    expected = Discriminants.fit(features, labelled.labels, 8, 0.3)(features)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    saved = Model.load(tmp_path / "model.h5").embed_all(labelled.images)
    assert saved.shape == (18, 8)
    np.testing.assert_allclose(saved[:, :2], expected, atol=1e-4)
    assert not saved[:, 2:].any()
    assert sorted(path.suffix for path in tmp_path.glob("model*")) == [".csv", ".h5"][-1 - bool(epochs) :]


def test_what_cannot_be_refitted_is_told(labelled, tmp_path):
    with pytest.raises(DeepRankingError, match="discriminants: expected a linear layer to replace"):
        replace(SETTINGS, network=replace(NETWORK, embedding_size=0))
    with pytest.raises(DeepRankingError, match="discriminants: expected a shrinkage above 0 and classes"):
        replace(SETTINGS, mining="none")
    triplets = Triplets(labelled.images, np.array([[0, 1, 6]], np.int32), "")
    with pytest.raises(DeepRankingError, match=r"discriminants: .* leave them out"):
        train(labelled, tmp_path / "model.h5", SETTINGS, triplets)
