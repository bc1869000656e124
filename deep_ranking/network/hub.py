"""Backbones of KerasHub (extra `hub`): a preset, its pixels' scale and its tokens as a ConvNet's map.

A backbone of Keras's own layers becomes a plain model of these: it is cut, frozen and saved as others are,
and its file needs no KerasHub. One with layers of KerasHub's own stands in the model whole.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason
from deep_ranking.network.backbones import HUB, Tokens


def build_hub(name: str, image_size: int, tokens: Tokens = "auto", trained: bool = False) -> keras.Model:
    """Build a preset's image backbone, its preprocessing before it.

    Args:
        name: "hub:" and the name of a preset (fetched by KerasHub) or the folder of one.
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
    hub, preset = _keras_hub(), name.removeprefix(HUB)
    try:
        source = hub.models.Backbone.from_preset(preset, load_weights=trained)
        converter = hub.layers.ImageConverter.from_preset(preset)
    # From KerasHub, its downloads and Keras's parsers comes nearly anything.
    except Exception as error:
        raise DeepRankingError(
            f"{name}: expected a preset of KerasHub, or the folder of one, with an image backbone and "
            f"its image converter, which tells how it wants pixels; found none ({reason(error):.300})"
        ) from error
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
    if len(x.shape) == 3:
        x = _described(x, inner // patch, tokens, name)
    elif tokens == "class":
        raise DeepRankingError(f"tokens: {name} has no class token; leave it at auto")
    return keras.Model(image, x, name="backbone")


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError:
        raise MissingExtraError("keras-hub", "hub", f"--backbone {HUB}PRESET") from None
    return keras_hub


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


def _described(x: Any, side: int, tokens: Tokens, name: str) -> Any:
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
    if all(tuple(config[key][:2]) == (size, size) for key in keys):
        return encoder
    other = type(encoder).from_config({**config, **dict.fromkeys(keys, (size, size, 3))})
    twice = [weight for weight in encoder.weights if "interpolated_" in weight.name]
    used = {weight.name.removeprefix("interpolated_"): weight for weight in twice}
    for ours, theirs in zip(other.weights, encoder.weights, strict=True):
        ours.assign(_fitted(np.asarray(used.get(ours.name, theirs)), tuple(ours.shape)))
    return other


def _fitted(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
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
    grid = np.asarray(ops.image.resize(grid, (new, new), "bicubic", antialias=new < old))
    return np.concatenate([table[:before], grid.reshape(new**2, -1)]).reshape(shape)
