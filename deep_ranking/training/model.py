"""The network inside what `fit` trains: augmentation before it, the triplets' rows after it."""

import keras

from deep_ranking.images.augment import PRESETS
from deep_ranking.network.network import build_network
from deep_ranking.network.weights import load_weights
from deep_ranking.ranking.loss import TripletHingeLoss
from deep_ranking.ranking.metrics import mining_metrics, ranking_metrics
from deep_ranking.ranking.mining import MinedTripletLoss
from deep_ranking.training.settings import TrainingSettings


def build_training_model(settings: TrainingSettings) -> tuple[keras.Model, keras.Model]:
    """Build the network, and around it the compiled model that is trained.

    A batch of triplets repeats images: in a sampled file's order (10 positives, 5 negatives) 24 rows hold
    about 12 distinct ones. So the model takes the distinct images and the rows' positions in them, runs the
    network once an image and gathers the rows for the loss: the same loss and gradient at half the work.

    Returns:
        The network, (batch, height, width, 3) -> (batch, d), which is saved and used; and the model,
        [(u, height, width, 3) images, (b,) int32 rows] -> (b, d), compiled; b is 3k for triplets.

    Raises:
        DeepRankingError: the weights cannot be loaded.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(
        "float32" if settings.precision == "float32" else f"mixed_{settings.precision}"
    )
    try:
        network = build_network(settings.network, settings.backbone_share)
        load_weights(network, settings.network, settings.weights)
        if settings.freezes_normalization:
            _freeze_normalization(network)
        images = keras.Input(network.input_shape[1:], name="images")
        rows = keras.Input((), dtype="int32", name="rows")
        x = images
        for layer in PRESETS[settings.augmentation].layers(settings.seed):
            x = layer(x)
        model = keras.Model([images, rows], keras.ops.take(network(x), rows, axis=0), name="training")
        optimizer = keras.optimizers.SGD(
            settings.learning_rate,
            settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay or None,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        model.compile(
            optimizer,
            loss=TripletHingeLoss(settings.gap, settings.distance)
            if settings.mining == "none"
            else MinedTripletLoss(settings.gap, settings.distance, settings.mining),
            metrics=(ranking_metrics if settings.mining == "none" else mining_metrics)(
                settings.gap, settings.distance
            ),
            # XLA pays on accelerators; on processors it is slower than the backend's own kernels.
            jit_compile="auto" if keras.distribution.list_devices("gpu") else False,
        )
        optimizer.build(model.trainable_variables)
    finally:
        keras.config.set_dtype_policy(policy)
    return network, model


def _freeze_normalization(network: keras.Model) -> None:
    """Keep batch normalization's statistics and scales; a frozen one runs in inference mode in Keras 3."""
    for layer in network.get_layer("backbone").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
