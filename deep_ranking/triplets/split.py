"""Holding images out, so that validation asks about images never trained on."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from deep_ranking.errors import DeepRankingError, expect


def split_images(
    classes: Mapping[str, Sequence[str]], share: float, seed: int = 0
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Split the images of each class into a training and a validation part.

    At least two images of a class stay on the training side, so that it keeps a positive; a class that is
    held out at all is held out with two images or more, for the same reason.

    Args:
        classes: class name -> its images.
        share: the validation part of each class, above 0 and below 1.
        seed: the same seed gives the same split, whatever the order of the images.

    Raises:
        DeepRankingError: `share` is out of range, or too few images for two classes on both sides.

    Example:
        >>> training, validation = split_images({"a": list("12345"), "b": list("6789")}, share=0.4)
        >>> {name: len(images) for name, images in validation.items()}
        {'a': 2, 'b': 2}
    """
    expect("validation_split", 0 < share < 1, "a share above 0 and below 1", share)
    expect("seed", seed >= 0, "0 or more", seed)
    training: dict[str, list[str]] = {}
    validation: dict[str, list[str]] = {}
    rng = np.random.default_rng([seed, 1])
    for name, images in classes.items():
        images = sorted(images)
        order = rng.permutation(len(images))
        held = min(max(2, math.floor(share * len(images) + 0.5)), len(images) - 2)
        if held < 2:
            held = 0
        training[name] = [images[i] for i in sorted(order[held:])]
        if held:
            validation[name] = [images[i] for i in sorted(order[:held])]
    if len(validation) < 2:
        raise DeepRankingError(
            f"validation_split: expected two classes or more with four images each, found {len(validation)}; "
            "add images, or train without a split"
        )
    return training, validation
