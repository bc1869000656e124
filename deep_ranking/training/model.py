"""What `fit` is given: batches of the data, and the network with augmentation before it, rows after it."""

import logging
from typing import Any, NamedTuple

import keras

from deep_ranking.embedding.engines import has_accelerator, multiplies_bfloat16
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.augment import PRESETS
from deep_ranking.images.batches import ImageBatches, LabelledBatches, TripletBatches
from deep_ranking.images.cache import ImageCache
from deep_ranking.network.backbones import find_backbone
from deep_ranking.network.hub import add_adapters
from deep_ranking.network.network import build_network, own_conventions
from deep_ranking.network.weights import load_weights
from deep_ranking.ranking.loss import TripletHingeLoss
from deep_ranking.ranking.metrics import mining_metrics, ranking_metrics
from deep_ranking.ranking.mining import MinedTripletLoss
from deep_ranking.ranking.proxies import Proxies, ProxyLoss
from deep_ranking.training.frozen import split_network
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.table import LabelledImages, TripletSource
from deep_ranking.triplets.uniform import ClassBatches

logger = logging.getLogger(__name__)

Data = TripletSource | LabelledImages


def batches_of(
    data: Data, settings: TrainingSettings, workers: int, cache: ImageCache | None
) -> ImageBatches:
    """Return the batches that settings ask for; only here are triplets told from images with classes.

    Raises:
        DeepRankingError: triplets where mining needs classes, classes where triplets are learned from, or
            too few classes.
    """
    size, seed, mines = (settings.network.image_size,) * 2, settings.seed, settings.mining != "none"
    if isinstance(data, LabelledImages) != mines:
        wanted = "images with classes" if mines else "triplets"
        raise DeepRankingError(
            f"mining {settings.mining!r}: expected {wanted} to learn from, found {type(data).__name__}"
        )
    if not isinstance(data, LabelledImages):
        return TripletBatches(
            data,
            settings.batch_size,
            size,
            shuffle=True,
            seed=seed,
            distinct=True,
            workers=workers,
            cache=cache,
        )
    count = settings.images_per_class
    deals = ClassBatches(data.labels, settings.classes_per_batch, count, seed)
    if len(deals.small_classes):
        logger.warning(
            "%d classes have fewer than %d images (--images_per_class) and take no part in training",
            len(deals.small_classes),
            count,
        )
    return LabelledBatches(data, deals, size, workers, cache)


class Trainable(NamedTuple):
    """A network and what surrounds it while it learns.

    Attributes:
        network: (batch, height, width, 3) -> (batch, d), which is saved and used.
        model: [(b,) int32 rows, (u, ...) images or activations] -> (b, d), compiled; b is 3k for triplets.
        frozen: with `train_from`, images -> the activations that the model takes; else None.
    """

    network: keras.Model
    model: keras.Model
    frozen: keras.Model | None


def build_training_model(settings: TrainingSettings, classes: int = 0, steps: int = 1) -> Trainable:
    """Build the network, and around it the compiled model that is trained.

    A batch of triplets repeats images: in a sampled file's order (10 positives, 5 negatives) 24 rows hold
    about 12 distinct ones. So the model takes the distinct images and the rows' positions in them, runs the
    network once an image and gathers the rows for the loss: the same loss and gradient at half the work.

    Args:
        settings: the run.
        classes: of the images, where they are compared with proxies.
        steps: of the whole run, along which a schedule lies.

    Raises:
        DeepRankingError: the weights cannot be loaded, or the network cannot be cut at `train_from`.
    """
    with own_conventions("float32" if settings.precision == "float32" else f"mixed_{settings.precision}"):
        network = build_network(settings.network, settings.backbone_share)
        load_weights(network, settings.network, settings.weights)
        _set_normalization(network, settings.freezes_normalization)
        if settings.lora:
            add_adapters(network, settings.lora)
        frozen, learning = None, network
        if settings.train_from:
            frozen, learning = split_network(network, settings.train_from)
        images = keras.Input(learning.input_shape[1:], name="images")
        rows = keras.Input((), dtype="int32", name="rows")
        x = images
        # The views of frozen layers are varied already.
        for layer in () if frozen else PRESETS[settings.augmentation].layers(settings.seed):
            x = layer(x)
        inputs, outputs = [rows, images], keras.ops.take(learning(x), rows, axis=0)
        if settings.mining == "proxies":
            model = Proxies(inputs, outputs, classes, settings.seed, name="training")
        else:
            model = keras.Model(inputs, outputs, name="training")
        optimizer = keras.optimizers.SGD(
            _learning_rate(settings, steps),
            settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay or None,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        model.compile(
            optimizer,
            loss=_loss(settings),
            metrics=(ranking_metrics if settings.mining == "none" else mining_metrics)(
                settings.gap, settings.distance
            ),
            jit_compile={"on": True, "off": False, "auto": "auto" if jit_pays() else False}[settings.jit],
        )
        optimizer.build(model.trainable_variables)
        _build_loss_and_metrics(model)
    return Trainable(network, model, frozen)


def _build_loss_and_metrics(model: keras.Model) -> None:
    """Make the variables of the compiled loss and metrics, so that `fit` has nothing left to build.

    Off TensorFlow it would look at the first batch for that; and from a stream without an end, which threads
    read ahead, a batch that was looked at does not come again.
    """
    targets, outputs = keras.ops.zeros((3, 1)), keras.ops.zeros((3, *model.output_shape[1:]))  # a triplet
    with keras.StatelessScope():  # what the variables come to in it is forgotten
        model.compute_loss(y=targets, y_pred=outputs)
        model.compute_metrics(None, targets, outputs)


def _loss(settings: TrainingSettings) -> keras.losses.Loss:
    if settings.mining == "none":
        return TripletHingeLoss(settings.gap, settings.distance)
    if settings.mining == "proxies":
        return ProxyLoss(settings.scale, settings.smoothing)
    return MinedTripletLoss(settings.gap, settings.distance, settings.mining)


def _learning_rate(settings: TrainingSettings, steps: int) -> Any:
    """Return the rate, or the schedule of Loshchilov and Hutter, "SGDR", 2017, without restarts."""
    rising = round(settings.warmup * steps)
    if settings.schedule == "constant" and not rising:
        return settings.learning_rate
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else settings.learning_rate,
        max(1, steps - rising),
        alpha=1.0 if settings.schedule == "constant" else 0.0,
        warmup_target=settings.learning_rate if rising else None,
        warmup_steps=rising,
    )


def best_precision(backbone: str) -> str:
    """Return the number type that a backbone trains fastest in here, of those that are as safe as float32.

    bfloat16, which has float32's range, on a processor that multiplies it, where the backbone gains; else
    float32. On accelerators, where it was not measured, float32.
    """
    gains = find_backbone(backbone).gains_from_bfloat16 and keras.backend.backend() == "tensorflow"
    return "bfloat16" if gains and multiplies_bfloat16() and not has_accelerator() else "float32"


def jit_pays() -> bool:
    """Tell whether XLA makes a step faster here.

    Always on JAX, which is nothing without it. On TensorFlow on accelerators; on processors it is slower than
    the backend's own kernels. On Torch "jit" is another compiler, which is left to who asks for it.
    """
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and has_accelerator())


def float32_copy(network: keras.Model, settings: TrainingSettings) -> keras.Model:
    """Return a network in float32 with the same weights: itself, if it computes so already."""
    if settings.precision == "float32":
        return network
    copy = build_network(settings.network, settings.backbone_share)
    if settings.lora:
        add_adapters(copy, settings.lora)
    copy.set_weights(network.get_weights())
    return copy


def _set_normalization(network: keras.Model, freeze: bool) -> None:
    """Keep batch normalization's statistics and scales, or let both follow what is trained on.

    A frozen layer runs in inference mode in Keras 3. Of one that follows, the statistics forget in some
    hundred steps; with MobileNetV2's own momentum of 0.999 a short run would end with a fifth of ImageNet's.
    """
    for layer in network.get_layer("backbone")._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = not freeze
            layer.momentum = min(layer.momentum, 0.99)
            if not freeze and keras.backend.backend() == "tensorflow":
                _normalize_at_once(layer)


def _normalize_at_once(layer: keras.layers.BatchNormalization) -> None:
    """Let a layer that learns normalize by TensorFlow's kernel, in a fifth of Keras's operations' time.

    Of MobileNetV2's upper blocks it makes a step nearly twice as fast. The values are the same, and so is
    what is saved: only this layer of this process computes otherwise, and only in training.
    """
    import tensorflow as tf

    plain = layer.call

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        channels_last = layer.axis in (-1, 3) and inputs.dtype == "float32" and len(inputs.shape) == 4
        if not (training and layer.trainable and channels_last and mask is None):
            return plain(inputs, training=training, mask=mask)
        width = inputs.shape[-1]
        gamma = layer.gamma if layer.scale else tf.ones(width)
        beta = layer.beta if layer.center else tf.zeros(width)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, epsilon=layer.epsilon, is_training=True
        )
        # The kernel divides by one less than the count for the statistics; Keras divides by the count.
        count = tf.cast(tf.size(inputs) // width, tf.float32)
        found = (layer.moving_mean, mean), (layer.moving_variance, variance * (count - 1) / count)
        for kept, now in found:
            kept.assign(kept * layer.momentum + now * (1 - layer.momentum))
        return outputs

    layer.call = call
