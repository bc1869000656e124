"""Proxies: a learned vector for each class, with which images are compared instead of with each other."""

from typing import Any

import keras
from keras import ops

from deep_ranking.errors import expect


@keras.saving.register_keras_serializable("deep_ranking")
class ProxyLoss(keras.losses.Loss):
    """An embedding shall be nearer to its own class's proxy than to those of all other classes.

    l(x) = -sum_c t_c log( exp(s f(x).w_c) / sum_k exp(s f(x).w_k) ), with f(x) and the proxies w of unit
    length, so that f.w = 1 - |f - w|^2 / 2; t is 1 for the image's class, softened by `smoothing`: every
    class then has smoothing / classes, and its own 1 - smoothing more. It has no gap: the scale s says how
    soon a proxy counts as near enough.

    Args:
        scale: s, above 0. Cosines are at most 1, so without it the softmax could never become sure.
        smoothing: 0 or more and below 1.

    Call arguments:
        y_true: (b,) or (b, 1) classes, whole numbers of 0 to C - 1.
        y_pred: (b, C) cosines, embedding against proxy; see `Proxies`.

    Raises:
        DeepRankingError: a scale not above 0, a smoothing out of range.

    Source: Zhai and Wu, "Classification is a strong baseline for deep metric learning", 2019; the loss
    without smoothing is that of Wang et al., "NormFace", 2017.

    Example:
        >>> from keras import ops
        >>> loss = ProxyLoss(scale=2.0)
        >>> round(float(loss(ops.array([0]), ops.array([[1.0, 0.0]]))), 4)
        0.1269
    """

    def __init__(
        self, scale: float = 20.0, smoothing: float = 0.0, name: str = "proxy_softmax", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        expect("scale", scale > 0, "a number above 0", scale)
        expect("smoothing", 0 <= smoothing < 1, "0 or more and below 1", smoothing)
        self.scale, self.smoothing = scale, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image, (b,)."""
        classes = y_pred.shape[-1]
        own = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), classes, dtype=y_pred.dtype)
        target = own * (1 - self.smoothing) + self.smoothing / classes
        return -ops.sum(target * ops.log_softmax(self.scale * y_pred, axis=-1), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "smoothing": self.smoothing}


class Proxies(keras.Model):
    """A model of embeddings whose loss sees their cosines to learned proxies, one for each class.

    The proxies learn with the model. They are no part of what it returns, and so of no saved network.

    Args:
        inputs: as of any Keras model.
        outputs: (b, d) embeddings of unit length.
        classes: C, 2 or more.
        seed: of their random start.

    Raises:
        DeepRankingError: fewer than two classes.
    """

    def __init__(self, inputs: Any, outputs: Any, classes: int, seed: int = 0, **kwargs: Any):
        super().__init__(inputs, outputs, **kwargs)
        expect("classes", classes >= 2, "two or more to tell apart", classes)
        shape = (classes, outputs.shape[-1])
        # Of about unit length: the longer a proxy is, the slower it turns.
        start = keras.initializers.RandomNormal(stddev=shape[1] ** -0.5, seed=seed)
        self.proxies = self.add_weight(shape=shape, initializer=start, dtype="float32", name="proxies")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of the cosines in place of the embeddings."""
        cosines = ops.matmul(y_pred, ops.transpose(ops.normalize(self.proxies, axis=-1)))
        return super().compute_loss(x, y, cosines, sample_weight, training)
