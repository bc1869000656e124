"""Where a network's first weights come from: ImageNet, a file, or nowhere."""

import contextlib
import io
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.network.backbones import HUB, find_backbone
from deep_ranking.network.file import ModelFileError, load_network, untrusted
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.settings import named_weights


class NoImageNetWeightsError(DeepRankingError):
    """No ImageNet weights of a backbone exist, or they cannot be downloaded."""


def load_weights(network: keras.Model, settings: NetworkSettings, weights: str) -> None:
    """Fill a new network.

    Args:
        network: what `build_network(settings)` gave.
        settings: its settings.
        weights: "none" leaves the random ones; "imagenet" downloads the backbone's (once; Keras keeps
            them), or takes the file of MobileNetV2's that DEEP_RANKING_WEIGHTS names; anything else is the
            path of a file: the backbone's weights without its top (`keras.applications` layout); a model
            saved here; a model of the backbone saved by Keras, with or without a top; what `save_weights` of
            Keras 3 wrote of a network of these settings; or a weights file of the blog's code.

    Raises:
        NoImageNetWeightsError: none exist for the backbone, or they cannot be downloaded.
        ModelFileError: the file is missing or holds another network's weights.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        if settings.backbone != "mobilenetv2" or not (file := named_weights()):
            _load_imagenet(network, settings)
            return
        weights = file
    path = Path(weights)
    if not path.is_file():
        raise ModelFileError(f"--weights {path}: expected imagenet, none, or a file; found no such file")
    kind = _kind(path)
    if kind == "backbone":
        _load_backbone(network, settings, path)
    elif kind == "own":
        _load_own(network, path)
    else:
        (_copy_weights if kind == "model" else load_blog_weights)(network, path)


def starting_network(settings: NetworkSettings, weights: str) -> keras.Model:
    """Return what training starts from, without any layer in which nothing has been learned yet.

    Args:
        settings: of the network that is trained.
        weights: as of `load_weights`: of a backbone's the normalized features, of a whole network that one.

    Raises:
        NoImageNetWeightsError: the weights are "none", or none can be had.
        ModelFileError: the file is missing or holds another network's weights.
    """
    if weights == "none":
        raise NoImageNetWeightsError("training started from random weights")
    path = Path(weights)
    if path.is_file() and (kind := _kind(path)) != "backbone":
        if kind == "model" and _is_ours(whole := load_network(path)[0]):
            return whole
        settings = settings.bare if kind == "model" else settings
    else:
        settings = settings.bare
    network = build_network(settings)
    load_weights(network, settings, weights)
    return network


def _is_ours(network: keras.Model) -> bool:
    """Tell a network that was built here from a backbone or a classifier of Keras's."""
    return any(layer.name in ("backbone", "side", "frozen") for layer in network.layers)


def load_blog_weights(network: keras.Model, path: str | os.PathLike[str]) -> None:
    """Load a weights file of Keras 2 (`save_weights`) into a network, by order and shape.

    Layer names are not compared: they depend on what else the process had built before. Each layer of
    ours takes the first layer of the file, not yet taken, whose arrays have the same shapes.

    Raises:
        ModelFileError: a layer finds no match, or one of the file is left over.
    """
    stored, taken = _stored_layers(path), []
    layers = [layer for layer in _flat_layers(network) if layer.weights]
    for layer in layers:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        match = next((i for i, arrays in enumerate(stored) if [a.shape for a in arrays] == shapes), None)
        if match is None:
            raise ModelFileError(
                f"{os.fspath(path)}: expected weights of shapes {shapes} for layer {layer.name!r}, "
                "found none; the file belongs to another network (a blog file needs --preset blog)"
            )
        taken.append(stored.pop(match))
    if stored:
        shapes = [a.shape for a in stored[0]]
        raise ModelFileError(
            f"{os.fspath(path)}: {len(stored)} layers too many, the first of shapes {shapes}; "
            "the file belongs to another network"
        )
    for layer, arrays in zip(layers, taken, strict=True):
        layer.set_weights(arrays)


def is_weights_only(path: str | os.PathLike[str]) -> bool:
    """Tell whether an `.h5` file holds a whole network's weights but no architecture, as the blog's do."""
    return Path(path).suffix == ".h5" and _kind(Path(path)) == "whole"


def _kind(path: Path) -> str:
    """Return "model" (architecture and weights), "whole" (a blog network's weights), "own" (a network's, as
    Keras 3 writes weights) or "backbone".
    """
    if path.suffix == ".keras":
        return "model"
    with untrusted(path, "an HDF5 file of a model or of weights") as file:
        if "model_config" in file.attrs:
            return "model"
        # Keras 3 names layers by their kind; what comes before the backbone and lies in none: "layers".
        if "layer_names" not in file.attrs and "functional" in file.get("layers", {}):
            return "own"
        # The low-resolution convolutions tell a whole network from a backbone.
        found = file.visititems(lambda _, item: getattr(item, "shape", None) == (8, 8, 3, 96) or None)
        return "whole" if found else "backbone"


def _load_imagenet(network: keras.Model, settings: NetworkSettings) -> None:
    if settings.backbone.startswith(HUB):
        from deep_ranking.network.hub import build_hub

        trained = build_hub(
            settings.backbone.removeprefix(HUB), settings.image_size, settings.tokens, trained=True
        )
        network.get_layer("backbone").set_weights(trained.get_weights())
        return
    application = find_backbone(settings.backbone).application
    if application is None:
        raise NoImageNetWeightsError(
            f"no ImageNet weights exist for the backbone {settings.backbone!r}; use --weights none or a file"
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # standard output is for results
            source = getattr(keras.applications, application)(
                weights="imagenet", include_top=False, input_shape=(settings.image_size,) * 2 + (3,)
            )
    # The download raises a bare Exception.
    except Exception as error:
        raise NoImageNetWeightsError(
            f"the ImageNet weights of {settings.backbone} could not be downloaded ({error!s:.200}); "
            "give a file with --weights FILE, or start from random ones with --weights none"
        ) from error
    _copy_application(source, network.get_layer("backbone"))


def _copy_application(source: keras.Model, backbone: keras.Model) -> None:
    """Copy weights; EfficientNet's are for a graph that `keras.applications` builds for ImageNet's alone.

    There the pixels, (x - mean) / sqrt(variance), are divided by sqrt(deviation) once more, without a weight
    that would tell; here the variance says so. And what that layer divides by is not read by `set_weights`.
    """
    backbone.set_weights(source.get_weights())
    ours = [
        layer for layer in backbone.layers if isinstance(layer, keras.layers.Normalization) and layer.weights
    ]
    scales = [
        layer for layer in source.layers if isinstance(layer, keras.layers.Rescaling) and np.ndim(layer.scale)
    ]
    for layer, scale in zip(ours, scales, strict=False):
        mean, variance, *others = layer.get_weights()
        layer.set_weights([mean, variance / np.square(scale.scale), *others])
    for layer in ours:
        layer.finalize_state()


def _load_backbone(network: keras.Model, settings: NetworkSettings, path: Path) -> None:
    try:
        network.get_layer("backbone").load_weights(path)
    except Exception as error:
        raise ModelFileError(
            f"{path}: expected the weights of {settings.backbone} without its top (keras.applications, "
            f"include_top=False), found others: {reason(error):.300}"
        ) from error


def _load_own(network: keras.Model, path: Path) -> None:
    try:
        network.load_weights(path)
    except Exception as error:
        raise ModelFileError(
            f"{path}: expected the weights of the network that these settings give, as save_weights of "
            f"Keras 3 writes them, found others: {reason(error):.300}"
        ) from error


def _copy_weights(network: keras.Model, path: Path) -> None:
    source, _ = load_network(path)
    if not _is_ours(source):
        backbone = network.get_layer("backbone")
        arrays, shapes = source.get_weights(), [tuple(weight.shape) for weight in backbone.weights]
        # A top, if there is one, comes last.
        if [array.shape for array in arrays[: len(shapes)]] == shapes:
            backbone.set_weights(arrays[: len(shapes)])
            return
    wanted = [tuple(weight.shape) for weight in network.weights]
    found = [tuple(weight.shape) for weight in source.weights]
    if wanted != found:
        differing = ((w, f) for w, f in zip(wanted, found, strict=False) if w != f)
        one, other = next(differing, (f"{len(wanted)} arrays", f"{len(found)}"))
        raise ModelFileError(
            f"{path}: expected the network that these settings give, found another ({other} where {one} was "
            "expected); use the settings it was trained with"
        )
    network.set_weights(source.get_weights())


def _flat_layers(network: Any) -> list[Any]:
    """Return the layers in order, those of a nested model in its place."""
    flat = []
    for layer in network.layers:
        flat += _flat_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return flat


def _stored_layers(path: str | os.PathLike[str]) -> list[list[np.ndarray]]:
    expected = "weights as Keras 2's save_weights wrote them, or a model file that train.py wrote"
    with untrusted(path, expected) as file:
        groups = file.get("model_weights", file)
        layers = [groups[name] for name in groups.attrs["layer_names"]]
        stored = [[np.asarray(layer[name]) for name in layer.attrs["weight_names"]] for layer in layers]
    return [arrays for arrays in stored if arrays]
