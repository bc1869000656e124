"""Backbones of KerasHub (extra `hub`): a preset, its pixels' scale and its tokens as a ConvNet's map.

A backbone of Keras's own layers becomes a plain model of these: it is cut, frozen and saved as others are,
and its file needs no KerasHub. One with layers of KerasHub's own stands in the model whole.
"""

import importlib
import math
import re
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers, ops

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason

if TYPE_CHECKING:
    from deep_ranking.network.backbones import Tokens


def build_hub(preset: str, image_size: int, tokens: "Tokens" = "auto", trained: bool = False) -> keras.Model:
    """Build a preset's image backbone, its preprocessing before it.

    Args:
        preset: its name (fetched by KerasHub) or its folder.
        image_size: height and width in pixels. The position table of a transformer is interpolated; a size
            that its patches do not divide is resized, as its image converter does, to the next that they do.
        tokens: what of a transformer's tokens describes the image. "class": its class token; "mean" and
            "patches": those of the patches, as a map; "auto": the class token where it has one.
        trained: with the preset's weights; else random ones.

    Returns:
        (b, image_size, image_size, 3) RGB 0..255 -> a map (b, h, w, c), or with a class token (b, c).

    Raises:
        MissingExtraError: KerasHub is not installed.
        DeepRankingError: the preset cannot be had, tells nothing of how it wants pixels, is no image's, or
            does not take the size.
    """
    name = f"hub:{preset}"
    hub = _keras_hub(f"--backbone {name}")
    source, converter = _loaded(hub, preset, trained)
    encoder = getattr(source, "vision_encoder", source)
    if len(encoder.inputs) != 1 or len(encoder.inputs[0].shape) != 4:
        raise DeepRankingError(f"{name}: expected an image backbone, found a {type(source).__name__}")
    patch = getattr(encoder, "patch_size", None) or 1
    patch = max(patch) if isinstance(patch, tuple | list) else patch
    inner = max(1, round(image_size / patch)) * patch
    try:
        encoder = _of_size(encoder, inner)
    except Exception as error:
        raise DeepRankingError(
            f"{name}: does not take images of {inner} pixels ({reason(error):.300})"
        ) from error
    image = x = keras.Input((image_size, image_size, 3))
    if inner != image_size:
        how = {"interpolation": converter.interpolation, "antialias": converter.antialias}
        x = layers.Resizing(inner, inner, data_format="channels_last", name="hub_resizing", **how)(x)
    if converter.scale is not None or converter.offset is not None:
        scale, offset = _plain(converter.scale, 1.0), _plain(converter.offset, 0.0)
        x = layers.Rescaling(scale, offset, name="hub_preprocessing")(x)
    if all(type(layer).__module__.startswith("keras.") for layer in encoder._flatten_layers(False)):
        # Not the model is called but its layers, one by one: the file names no KerasHub, and can be cut.
        x = keras.Model(encoder.inputs[0], _last(encoder.output)).call(x)
    else:  # whole: what several of its layers write of themselves they do not read back
        x = _last(encoder(dict.fromkeys(encoder.input, x) if isinstance(encoder.input, dict) else x))
    if hasattr(source, "vision_post_layer_norm"):  # MetaCLIP's last one stands outside of its image side
        x = source.vision_post_layer_norm(x)
    if len(x.shape) == 3:
        x = _described(x, inner // patch, tokens, name)
    elif tokens == "class" or (tokens != "auto" and len(x.shape) == 2):
        gives = "one vector" if len(x.shape) == 2 else "a map, and has no class token"
        raise DeepRankingError(f"tokens: {name} gives {gives}; leave it at auto")
    return keras.Model(image, x, name="backbone")


_OTHERS = re.compile(r"keras_(hub|nlp|cv)[.>]")
_FAMILIES = (
    "clip cspnet deit densenet dinov2 dinov3 efficientnet hgnetv2 metaclip_2 mit mobilenet mobilenetv5"
)
_FAMILIES += " resnet siglip swin_transformer vgg vit vit_det xception"
_ALLOWED = re.compile(
    rf"keras_hub\.src\.models\.({_FAMILIES.replace(' ', '|')})\.\w+_(backbone|vision_encoder|layers)"
)


def check_named(description: Any, path: Any) -> None:
    """Refuse a network's description that names more of KerasHub than image backbones and their layers.

    Keras imports what a file names of KerasHub and its forerunners, and some of that reads files, as
    tokenizers do, or fetches them.

    Args:
        description: what JSON holds: mappings, lists, texts, numbers.
        path: the file, for the error.

    Raises:
        ValueError: it names something else.
        MissingExtraError: it names a backbone, and KerasHub is not installed.
    """
    left = [description]
    while left:
        item = left.pop()
        values = list(item.values()) if isinstance(item, dict) else item if isinstance(item, list) else []
        left += [value for value in values if isinstance(value, dict | list)]
        names = {value for value in values if isinstance(value, str) and _OTHERS.match(value)}
        if not names:
            continue
        module, name = (item.get(key) if isinstance(item, dict) else "" for key in ("module", "class_name"))
        found: Any = None
        if _ALLOWED.fullmatch(str(module)) and names <= {module, f"keras_hub>{name}"}:
            _keras_hub(f"{path}: a network on a backbone of KerasHub")
            found = vars(importlib.import_module(str(module))).get(str(name))
        if not (isinstance(found, type) and issubclass(found, keras.Layer) and found.__module__ == module):
            raise ValueError(f"it names {min(names)}, {name!r}, which is no image backbone of KerasHub's")


def keep_positions(network: keras.Model) -> None:
    """Bring what training made of DINOv2's positions to where KerasHub saves them from.

    Its layer saves another table than the one it trains, and takes the change over only if the trained values
    add up to less than before; about every other time it would be lost. Here both are of one size.
    """
    for layer in network._flatten_layers():
        if hasattr(layer, "interpolated_position_embeddings"):
            layer.position_embeddings.assign(layer.interpolated_position_embeddings)


def add_adapters(network: keras.Model, rank: int) -> None:
    """Freeze the backbone but for a low-rank change of each linear layer in it: W + A B, B first 0.

    Args:
        network: what `build_network` gave, with its weights. What Keras saves of it holds W + A B as W.
        rank: columns of A, rows of B.

    Raises:
        DeepRankingError: the backbone has no linear layers.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022.
    """
    inside = list(network.get_layer("backbone")._flatten_layers(include_self=False))
    linear = [layer for layer in inside if isinstance(layer, layers.Dense | layers.EinsumDense)]
    if not linear:
        raise DeepRankingError("lora: expected a transformer, found a backbone without linear layers")
    for layer in inside:
        layer.trainable = False
    for layer in linear:
        layer.trainable = True
        if layer.bias is not None:
            layer.bias.trainable = False
        layer.enable_lora(rank)


def _keras_hub(purpose: str) -> Any:
    try:
        import keras_hub
    except ImportError:
        raise MissingExtraError("keras-hub", "hub", purpose) from None
    return keras_hub


def _loaded(hub: Any, preset: str, trained: bool) -> tuple[Any, Any]:
    try:
        source = hub.models.Backbone.from_preset(preset, load_weights=trained)
        return source, hub.layers.ImageConverter.from_preset(preset)
    # From KerasHub, its downloads and Keras's parsers comes nearly anything.
    except Exception as error:
        raise DeepRankingError(
            f"hub:{preset}: expected a preset of KerasHub, or the folder of one, with an image backbone and "
            f"its image converter, which tells how it wants pixels; found none ({reason(error):.300}). "
            "Names are those of KerasHub's list, and are fetched; without a network give a folder"
        ) from error


def _plain(value: Any, default: float) -> Any:
    """Return numbers as JSON has them, one for each channel or one for all."""
    if value is None:
        return default
    return np.asarray(value, float).ravel().tolist() if np.ndim(value) else float(value)


def _last(output: Any) -> Any:
    """Return the deepest of several maps."""
    if isinstance(output, dict):
        return output.get("sequence_output", list(output.values())[-1])
    return output[-1] if isinstance(output, list | tuple) else output


def _described(x: Any, side: int, tokens: "Tokens", name: str) -> Any:
    count, before = x.shape[1], x.shape[1] - side**2
    if before < 0:  # as of Swin, whose stages halve the sides
        side, before = math.isqrt(count), 0
    if tokens == "class" and not before:
        raise DeepRankingError(f"tokens: {name} has no class token; leave it at auto, or take mean")
    if tokens == "class" or (tokens == "auto" and before):
        x = layers.Cropping1D((0, count - 1), name="class_token")(x) if count > 1 else x
        return layers.Flatten(name="class")(x)
    x = layers.Cropping1D((before, 0), name="patch_tokens")(x) if before else x
    return layers.Reshape((side, side, x.shape[-1]), name="patches")(x)


def _of_size(encoder: keras.Model, size: int) -> keras.Model:
    """Return the backbone for another image size, with the same weights."""
    config = encoder.get_config()
    # DINOv2 keeps a second table, of the size it was trained at, and saves what is learned through that one,
    # there and back, with a loss; so its size becomes the image's.
    keys = [key for key in ("image_shape", "input_shape", "position_embedding_shape") if key in config]
    changed: dict[str, Any] = dict.fromkeys(keys, (size, size, 3))
    if config.get("use_mask_token"):  # stood for patches that were hidden in pretraining; nothing reads it
        changed["use_mask_token"] = False
    elif all(tuple(config[key][:2]) == (size, size) for key in keys):
        return encoder
    other = type(encoder).from_config({**config, **changed})
    given = [weight for weight in encoder.weights if weight.name != "mask_token"]
    used = {w.name.removeprefix("interpolated_"): w for w in given if w.name.startswith("interpolated_")}
    antialias = config.get("antialias_in_interpolation", True)
    for ours, theirs in zip(other.weights, given, strict=True):
        ours.assign(_fitted(np.asarray(used.get(ours.name, theirs)), tuple(ours.shape), antialias))
    return other


def _fitted(values: np.ndarray, shape: tuple[int, ...], antialias: bool) -> np.ndarray:
    """Return weights as they are, or a table of positions (..., n, c) interpolated to another grid."""
    if values.shape == shape:
        return values
    old, new = math.isqrt(values.shape[-2]), math.isqrt(shape[-2])
    before = values.shape[-2] - old**2
    fits = values.shape[:-2] == shape[:-2] and values.shape[-1] == shape[-1]
    if not fits or new**2 + before != shape[-2]:
        raise ValueError(f"weights of shape {values.shape} fit {shape} by no interpolation")
    table = values.reshape(-1, values.shape[-1])
    grid = table[before:].reshape(1, old, old, -1)
    grid = np.asarray(ops.image.resize(grid, (new, new), "bicubic", antialias=antialias and new < old))
    return np.concatenate([table[:before], grid.reshape(new**2, -1)]).reshape(shape)
