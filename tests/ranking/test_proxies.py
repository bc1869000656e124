"""The proxy loss equals a loop over images and classes, value and gradient; the proxies learn."""

import keras
import numpy as np
import pytest
from keras import ops

from deep_ranking.errors import DeepRankingError
from deep_ranking.ranking.proxies import Proxies, ProxyLoss


def slow_loss(labels, embeddings, proxies, scale, smoothing):
    """The mean over images, by the definition."""
    losses = []
    for label, embedding in zip(labels, embeddings, strict=True):
        logits = [scale * embedding @ (proxy / np.linalg.norm(proxy)) for proxy in proxies]
        total = sum(np.exp(logit) for logit in logits)
        targets = [smoothing / len(proxies)] * len(proxies)
        targets[label] += 1 - smoothing
        losses.append(
            -sum(t * np.log(np.exp(logit) / total) for t, logit in zip(targets, logits, strict=True))
        )
    return np.mean(losses)


def unit_vectors(count, size, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def model_of(classes, size, **kwargs):
    image = keras.Input((size,))
    return Proxies(image, keras.layers.UnitNormalization()(image), classes, **kwargs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [[2, 0, 3, 2, 1], [1]])
def test_loss_is_that_of_the_definition(labels, smoothing):
    embeddings = unit_vectors(len(labels), 6, seed=1)
    model = model_of(4, 6, seed=2)
    model.compile(loss=ProxyLoss(7.0, smoothing))
    expected = slow_loss(labels, embeddings, ops.convert_to_numpy(model.proxies), 7.0, smoothing)
    for target in (np.array(labels), np.array(labels, "float32")[:, None]):
        found = model.compute_loss(y=target, y_pred=ops.array(embeddings, "float32"))
        assert float(found) == pytest.approx(expected, rel=1e-5)


def test_one_step_moves_the_proxies_down_the_slope_of_the_definition():
    labels, rate, step = [0, 2, 1, 1], 0.5, 1e-5
    embeddings = unit_vectors(4, 5, seed=3).astype("float32")
    model = model_of(3, 5)
    model.compile(keras.optimizers.SGD(rate), loss=ProxyLoss(4.0), jit_compile=False)
    before = ops.convert_to_numpy(model.proxies).astype(float)
    model.train_on_batch(embeddings, np.array(labels))
    slope = np.empty_like(before)
    for place in np.ndindex(*before.shape):
        moved = {sign: before.copy() for sign in (-1, 1)}
        for sign, proxies in moved.items():
            proxies[place] += sign * step
        high, low = (slow_loss(labels, embeddings, moved[sign], 4.0, 0.0) for sign in (1, -1))
        slope[place] = (high - low) / (2 * step)
    assert np.abs(slope).max() > 0.01
    np.testing.assert_allclose(ops.convert_to_numpy(model.proxies), before - rate * slope, atol=1e-5)


def test_metrics_see_embeddings_and_the_proxies_are_no_part_of_the_output():
    model = model_of(3, 5)
    seen = keras.metrics.MeanMetricWrapper(
        lambda _, values: ops.sum(ops.square(values), axis=-1), name="norm"
    )
    model.compile("sgd", loss=ProxyLoss(), metrics=[seen], jit_compile=False)
    logs = model.train_on_batch(3 * np.eye(5, dtype="float32"), np.array([0, 1, 2, 0, 1]), return_dict=True)
    assert logs["norm"] == pytest.approx(1)
    assert model.output_shape == (None, 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProxyLoss(0), "scale: expected a number above 0, found 0"),
        (lambda: ProxyLoss(smoothing=1), "smoothing: expected 0 or more and below 1, found 1"),
        (lambda: model_of(1, 4), "classes: expected two or more to tell apart, found 1"),
    ],
)
def test_bad_settings_are_errors(make, message):
    with pytest.raises(DeepRankingError, match=message):
        make()


def test_the_loss_is_rebuilt_from_its_settings():
    loss = ProxyLoss(9.0, 0.2)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (again.scale, again.smoothing) == (9.0, 0.2)
