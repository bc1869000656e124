"""The default description of images: what an index embeds with where no model is given."""

import base64
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from deep_ranking.blend.learn import Components
from deep_ranking.description.reader import PARTS, SIDE, VERSION, Reader, open_reader
from deep_ranking.embedding.encoder import Encoder
from deep_ranking.errors import DeepRankingError, expect, reason
from deep_ranking.images.loader import load_batches
from deep_ranking.progress import progress

KEY = "description"
"""Of an index's metadata: the text that a description is kept as."""

_ROWS = 1600  # images that components are fitted on
_BATCH = 32


class Part(NamedTuple):
    """What is made of a part of what is read: so many components, whitened by a power, and its weight."""

    components: int
    power: float
    weight: float


LOOKS = {
    "balanced": {"last": Part(256, 0.25, 1.0), "lower": Part(128, 0.5, 0.4), "colour": Part(32, 0.0, 0.1)},
    "people": {"last": Part(256, 0.0, 1.0), "lower": Part(256, 0.5, 0.7), "colour": Part(64, 0.0, 0.3)},
    "classes": {"last": Part(256, 0.5, 1.0), "lower": Part(64, 0.5, 0.1), "colour": Part(32, 0.5, 0.05)},
}
"""By name, points between what people call similar and what is of one class (docs/experiments.md)."""


class Description(Encoder):
    """Embeds images with nothing to train: what a reader sees, and components of it.

    Args:
        look: a name in `LOOKS`.
        components: by part.
        reader: what reads the images.
    """

    def __init__(self, look: str, components: Mapping[str, Components], reader: Reader):
        expect("look", look in LOOKS, f"one of {', '.join(LOOKS)}", look)
        self.look, self.components, self.reader = look, dict(components), reader
        told = hashlib.sha256("\0".join((look, str(VERSION), reader.weights)).encode())
        for name, component in self.components.items():
            for array in component:
                told.update(f"{name}{array.shape}".encode() + np.ascontiguousarray(array, "<f2").tobytes())
        self.fingerprint = told.hexdigest()

    @classmethod
    def fit(
        cls,
        paths: Sequence[str | os.PathLike[str]] | Sequence[bytes],
        look: str = "balanced",
        weights: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        precision: str = "float32",
        seed: int = 0,
        quiet: bool = True,
    ) -> "Description":
        """Fit the components on some of the images that are to be embedded; those that cannot be read, not.

        Args:
            paths: the images, as paths or as encoded bytes; of more than 1,600 a random sample is used.
            look: "balanced", "people" or "classes".
            weights, engine, precision: as of `reader.open_reader`.
            seed: of the sample.
            quiet: no progress bar.

        Raises:
            DeepRankingError: no image can be read; as of `reader.open_reader`.
        """
        expect("look", look in LOOKS, f"one of {', '.join(LOOKS)}", look)
        reader = open_reader(weights, engine, precision)
        order = np.random.default_rng(seed).permutation(len(paths))[:_ROWS]
        sample: list[Any] = [paths[i] for i in np.sort(order)]
        found: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
        error: Exception | None = None
        with progress((), "describing", "images", total=len(sample), quiet=quiet) as bar:
            for batch in load_batches(sample, (SIDE, SIDE), _BATCH):
                error = batch.failures[0][1] if batch.failures else error
                if len(batch.images):
                    for name, rows in reader(batch.images).items():
                        found[name].append(rows)
                bar.update(len(batch.images) + len(batch.failures))
        if not found["last"]:
            why = f"none of {len(paths)} can be read ({error})" if error else "none"
            raise DeepRankingError(f"expected images to describe, found {why}")
        parts = {name: np.concatenate(rows) for name, rows in found.items()}
        return cls(look, {name: _fit(parts[name], part, seed) for name, part in LOOKS[look].items()}, reader)

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return sum(part.axes.shape[1] for part in self.components.values())

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels that images are resized to."""
        return SIDE, SIDE

    def embed_pixels(self, images: np.ndarray) -> np.ndarray:
        """Embed decoded images, (n, 224, 224, 3), RGB 0..255, as (n, d) float32 of unit length."""
        if not len(images):
            return np.zeros((0, self.dimension), np.float32)
        return self.vectors(self.reader(images))

    def vectors(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the embeddings of what was read, (n, d) float32 of unit length."""
        look = LOOKS[self.look]
        weighed = [
            _unit(part(parts[name])) * np.float32(look[name].weight ** 0.5)
            for name, part in self.components.items()
        ]
        return _unit(np.concatenate(weighed, axis=1))

    def metadata(self) -> dict[str, str]:
        """Return what an index keeps, so that `from_metadata` gives this description again."""
        about = {"version": VERSION, "look": self.look, "weights": self.reader.weights}
        about["components"] = base64.b64encode(self._packed()).decode()
        return {KEY: json.dumps(about)}

    @classmethod
    def from_metadata(
        cls,
        metadata: Mapping[str, str],
        weights: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        precision: str = "float32",
    ) -> "Description":
        """Return the description that an index was made with.

        Args:
            metadata: of the index.
            weights, engine, precision: as of `reader.open_reader`.

        Raises:
            DeepRankingError: there is none, or one of another version; as of `reader.open_reader`.
        """
        try:
            about = json.loads(metadata[KEY])
            expect("version of the description", about["version"] == VERSION, str(VERSION), about["version"])
            arrays = np.load(io.BytesIO(base64.b64decode(about["components"])), allow_pickle=False)
            names = LOOKS[about["look"]]
            found = {name: Components(arrays[f"{name}_mean"], arrays[f"{name}_axes"]) for name in names}
        except DeepRankingError:
            raise
        except Exception as error:
            raise DeepRankingError(
                f"description: expected what Description.metadata gives, found other text ({reason(error)})"
            ) from error
        return cls(about["look"], found, open_reader(weights, engine, precision, about["weights"]))

    def _packed(self) -> bytes:
        file = io.BytesIO()
        arrays: dict[str, Any] = {}
        for name, (mean, axes) in self.components.items():
            arrays |= {f"{name}_mean": mean.astype(np.float16), f"{name}_axes": axes.astype(np.float16)}
        np.savez(file, **arrays)
        return file.getvalue()


def embedder_of(
    metadata: Mapping[str, str],
    model: str | os.PathLike[str] | None = None,
    engine: str = "auto",
    precision: str = "float32",
    weights: str | os.PathLike[str] | None = None,
) -> Encoder:
    """Return what embeds new images for an index: the description or the model file that it remembers.

    Args:
        metadata: of the index.
        model: a model file, where another one is meant than the index remembers.
        engine, precision: as of `deep_ranking.load`.
        weights: of the description's network; see `reader.open_reader`.

    Raises:
        DeepRankingError: it remembers neither; as of `deep_ranking.load` and `Description.from_metadata`.
    """
    if not model and KEY in metadata:
        return Description.from_metadata(metadata, weights, engine, precision)
    model = model or metadata.get("model")
    if not model:
        raise DeepRankingError(
            "the image is not in the index, which remembers no model to embed it with; pass the model"
        )
    from deep_ranking.embedding.model import Model

    return Model.load(model, engine, precision)


def _fit(vectors: np.ndarray, part: Part, seed: int) -> Components:
    """Return components in float16's precision, as they are kept."""
    if len(vectors) < 2:  # their spread is unknown: any directions
        random = np.random.default_rng(seed).normal(size=(part.components + 1, vectors.shape[1]))
        vectors = np.concatenate([vectors, vectors[:1] + random / vectors.shape[1]])
    found = Components.fit(vectors, part.components, part.power, seed=seed)
    return Components(*(array.astype(np.float16).astype(np.float32) for array in found))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
