"""What each test image scores, measured rightly and as earlier code did."""

import keras
import numpy as np
from learn import BATCH, Embed
from parts import SIZE, Part, Parts

from deep_ranking import AUGMENTATIONS, nearest_neighbours, similarity_precision, triplet_distances

Scores = dict[str, np.ndarray]
"""Of each image, (n,), by measure."""


def precision(vectors: np.ndarray, triplets: np.ndarray) -> np.ndarray:
    """Return the share of each image's triplets that are ranked right, (n,)."""
    right = similarity_precision(triplet_distances(vectors, triplets))
    count = np.bincount(triplets[:, 0], minlength=len(vectors))
    return np.bincount(triplets[:, 0], right, minlength=len(vectors)) / count


def score(gallery: np.ndarray, training: Part, queries: np.ndarray, test: Part) -> Scores:
    """Return each test image's precision, and whether its nearest training image is of its class."""
    nearest = nearest_neighbours(queries, gallery, 1).indices[:, 0]
    return {
        "precision": precision(queries, test.triplets),
        "nearest": (training.labels[nearest] == test.labels).astype(float),
    }


def scores(embed: Embed, parts: Parts) -> Scores:
    """Return the scores of the test part, and the precision by which a learning rate is chosen."""
    training, validation, test = parts
    chosen_by = precision(embed(validation.images), validation.triplets)
    found = score(embed(training.images), training, embed(test.images), test)
    return {**found, "validation": chosen_by}


def wrong_scores(embed: Embed, parts: Parts, seed: int) -> Scores:
    """Measure a network in wrong ways, as "wrong way/measure"; pixels are varied only where they are all."""
    training, _, test = parts
    gallery, queries = embed(training.images), embed(test.images)
    found = {
        "measured on the training triplets": {"precision": precision(gallery, training.triplets)},
        "measured with norms along the batch": score(_along(gallery), training, _along(queries), test),
    }
    if len(test.images) == 1:
        varied, cropped = embed([_varied(*test.images, seed)]), embed([_cropped(*training.images, seed)])
        nearest = score(cropped, training, queries, test)["nearest"]
        found["measured on varied images"] = score(gallery, training, varied, test)
        found["measured against random crops"] = {"nearest": nearest}
    return {f"{way}/{measure}": values for way, of in found.items() for measure, values in of.items()}


def _varied(pixels: np.ndarray, seed: int) -> np.ndarray:
    """The blog's validation images go through its augmentation."""
    batches = [pixels[first : first + BATCH] for first in range(0, len(pixels), BATCH)]
    for layer in AUGMENTATIONS["blog"].layers(seed):
        batches = [np.asarray(layer(np.float32(batch), training=True)) for batch in batches]
    return np.concatenate(batches)


def _cropped(pixels: np.ndarray, seed: int) -> np.ndarray:
    """A random 7/8 of each side, stretched back to all of it."""
    side = SIZE * 7 // 8
    corners = np.random.default_rng(seed).integers(0, SIZE - side + 1, (len(pixels), 2))
    crops = [p[y : y + side, x : x + side] for p, (y, x) in zip(pixels, corners, strict=True)]
    return np.asarray(keras.ops.image.resize(np.stack(crops), (SIZE, SIZE)))


def _along(vectors: np.ndarray) -> np.ndarray:
    """Each coordinate divided by its norm over a batch, where a vector's norm was meant."""
    batches = [vectors[first : first + BATCH] for first in range(0, len(vectors), BATCH)]
    return np.concatenate([batch / np.linalg.norm(batch, axis=0).clip(1e-12) for batch in batches])
