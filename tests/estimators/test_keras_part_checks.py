"""What every layer, loss, distance and mining promises, whichever it is."""

import inspect

import keras
import numpy as np
import parts
import pytest
from keras import ops

from deep_ranking.errors import DeepRankingError
from deep_ranking.ranking import MINING
from deep_ranking.ranking.distances import DISTANCES
from deep_ranking.ranking.mining import mined

for package in ("images", "network", "ranking"):
    parts.modules(package)  # to be registered with Keras
REGISTERED = [
    kind for name, kind in keras.saving.get_custom_objects().items() if name.startswith("deep_ranking>")
]
LAYERS = [kind for kind in REGISTERED if issubclass(kind, keras.layers.Layer)]
LOSSES = [kind for kind in REGISTERED if issubclass(kind, keras.losses.Loss)]
OTHER = {"factor": 0.5, "shift": 3, "radius": 1, "bias": 1.5, "gap": 0.3, "distance": "squared_euclidean"}
OTHER |= {"mining": "hard", "scale": 7.0, "smoothing": 0.1, "seed": 5, "alpha": 0.01, "beta": 0.5}
NEEDED = {"factor": 0.25, "shift": 2}
BAD = {"factor": -1.0, "shift": -1, "radius": -1, "gap": 0.0, "distance": "nonsense", "mining": "nonsense"}
BAD |= {"scale": 0.0, "smoothing": 1.0}

RNG = np.random.default_rng(4)
IMAGES = RNG.uniform(0, 255, (4, 6, 5, 3)).astype(np.float32)
EMBEDDINGS = RNG.normal(size=(6, 5)).astype(np.float32)
CLASSES = np.array([0, 0, 1, 1, 2, 2])


def own_settings(kind):
    if "__init__" not in vars(kind):
        return []
    skipped = ("self", "kwargs", "name")
    return [name for name in inspect.signature(kind.__init__).parameters if name not in skipped]


def make(kind, **given):
    needed = {name: value for name, value in NEEDED.items() if name in own_settings(kind)}
    return kind(**{**needed, **given})


def call(part, values):
    if isinstance(part, keras.losses.Loss):
        return ops.convert_to_numpy(part(CLASSES[: len(values)], values))
    training = {"training": True} if "training" in inspect.signature(part.call).parameters else {}
    return ops.convert_to_numpy(part(values, **training))


def sample(kind):
    return IMAGES if issubclass(kind, keras.layers.Layer) else EMBEDDINGS


@pytest.fixture(params=[*LAYERS, *LOSSES], ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_they_are_found():
    assert len(LAYERS) >= 10
    assert len(LOSSES) >= 3


def test_its_settings_come_back_from_its_config(kind):
    given = {name: OTHER[name] for name in own_settings(kind)}
    part = make(kind, **given)
    again = type(part).from_config(part.get_config())
    assert again.get_config() == part.get_config()
    for name, value in given.items():
        assert part.get_config()[name] == value
    np.testing.assert_array_equal(call(again, sample(kind)), call(part, sample(kind)))


def test_keras_knows_it_by_its_registered_name(kind):
    module = keras.losses if issubclass(kind, keras.losses.Loss) else keras.layers
    assert type(module.deserialize(module.serialize(make(kind)))) is kind


@pytest.mark.parametrize(
    ("kind", "setting"),
    [(kind, name) for kind in [*LAYERS, *LOSSES] for name in own_settings(kind) if name in BAD],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_bad_setting_is_named_with_what_was_expected_and_found(kind, setting):
    with pytest.raises(DeepRankingError, match=f"{setting}: expected .* found {BAD[setting]!r}"):
        make(kind, **{setting: BAD[setting]})


def test_every_setting_is_checked_here_or_free(kind):
    free = {"seed", "bias", "alpha", "beta"}
    assert set(own_settings(kind)) <= set(BAD) | free
    assert set(own_settings(kind)) <= set(OTHER)


def test_it_is_finite_in_float32_and_leaves_its_input(kind):
    values = sample(kind).copy()
    found = call(make(kind), values)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.shape == () or len(found) == len(values)
    np.testing.assert_array_equal(values, sample(kind))


def test_float64_and_strided_input_give_the_same(kind):
    seed = {"seed": 1} if "seed" in own_settings(kind) else {}
    expected = call(make(kind, **seed), sample(kind))
    strided = np.repeat(sample(kind), 2, axis=-1)[..., ::2]
    assert not strided.flags.c_contiguous
    for values in (sample(kind).astype(np.float64), strided, np.asfortranarray(sample(kind))):
        np.testing.assert_allclose(call(make(kind, **seed), values), expected, rtol=1e-5, atol=1e-6)


every_layer = pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)


@every_layer
def test_one_row_is_as_it_is_among_others(kind):
    layer = make(kind)
    one, all_rows = (ops.convert_to_numpy(layer(images)) for images in (IMAGES[1:2], IMAGES))
    np.testing.assert_allclose(one, all_rows[1:2], rtol=1e-4, atol=1e-5)


def test_no_row_gives_no_row_or_no_loss(kind):
    found = call(make(kind), sample(kind)[:0])
    assert not found.any()
    assert found.shape == () or len(found) == 0


@every_layer
def test_the_shape_is_what_it_says_beforehand(kind):
    layer = make(kind)
    symbolic = layer(keras.Input(IMAGES.shape[1:])).shape
    assert symbolic[1:] == call(layer, IMAGES).shape[1:]
    assert layer.compute_output_shape((None, *IMAGES.shape[1:])) == symbolic


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if "seed" in own_settings(kind)])
def test_chance_follows_its_seed(kind):
    first, again, other = (call(make(kind, seed=seed), np.concatenate([IMAGES] * 5)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_one(name):
    a, b = RNG.normal(size=(2, 7, 5)).astype(np.float32)
    there, back, own = (ops.convert_to_numpy(DISTANCES[name](*pair)) for pair in ((a, b), (b, a), (a, a)))
    assert there.shape == (7,)
    assert there.dtype == np.float32
    assert (there > 0).all()
    np.testing.assert_allclose(there, back, rtol=1e-6)
    assert (own == 0).all()
    assert ops.convert_to_numpy(DISTANCES[name](a[:0], b[:0])).shape == (0,)
    wide = ops.convert_to_numpy(DISTANCES[name](np.asfortranarray(a), np.repeat(b, 2, axis=1)[:, ::2]))
    np.testing.assert_array_equal(wide, there)


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("labels", [np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 2], np.float32)])
def test_what_is_mined_are_triplets(mining, labels):
    distances = np.abs(RNG.normal(size=(5, 5))).astype(np.float32)
    before = distances.copy()
    found = ops.convert_to_numpy(mined(ops.array(distances), ops.array(labels), 10.0, mining))
    assert found.dtype == np.float32
    assert found.shape == (5, 5, 5)
    for q, p, n in np.argwhere(found):
        assert q != p
        assert labels[q] == labels[p] != labels[n]
    np.testing.assert_array_equal(distances, before)
