"""The default description of images: what an index embeds with where no model is given."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.containers import contained
from deep_ranking.description.components import LOOKS, Map
from deep_ranking.description.reader import PARTS, SIDE, VERSION, Reader, open_reader
from deep_ranking.embedding.encoder import Encoder
from deep_ranking.embedding.kept import open_encoder
from deep_ranking.errors import DeepRankingError, expect, made_later, reason
from deep_ranking.images.decode import ImageError, Source
from deep_ranking.images.loader import load_batches
from deep_ranking.progress import progress

KEY = "description"
"""Of an index's metadata: the text that a description is kept as."""

_ROWS = 1600  # images that components are fitted on
_BATCH = 32


class Description(Encoder):
    """Embeds images with nothing to train: MobileNetV2 read at two depths, with colour, and components.

    416 numbers an image, of unit length. Images are decoded and resized as `Model` does.

    Args:
        look: the name of what people call similar ("people"), of one class ("classes"), or between them.
        map: from what is read to the vector.
        reader: what reads the images.

    Attributes:
        fingerprint: changes whenever the vectors would: with the weights, the map, and what is read.

    Source: MobileNetV2, Sandler et al. 2018; the choice of what is read, docs/experiments.md.
    """

    def __init__(self, look: str, map: Map, reader: Reader):
        self.look, self.map, self.reader = look, map, reader
        told = {"version": VERSION, "weights": reader.weights, "map": map.to_json()}
        self.fingerprint = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
        self._fitted: dict[Any, np.ndarray] = {}  # vectors of what was fitted on, until they are used

    @classmethod
    def fit(
        cls,
        paths: Sequence[str | os.PathLike[str]] | Sequence[bytes] = (),
        look: str = "balanced",
        weights: str | os.PathLike[str] | None = None,
        engine: str = "auto",
        precision: str = "float32",
        seed: int = 0,
        quiet: bool = True,
    ) -> "Description":
        """Fit the components on images that are to be embedded, with those of many others as a start.

        What was read is kept until it is first embedded, so fitting and embedding read an image once.

        Args:
            paths: the images, as paths or as encoded bytes; of more than 1,600 a random sample is used, and
                those that cannot be read are not. None at all gives a description for any images: better
                than the last layer, and not as good as one fitted on the images themselves.
            look: "balanced", "people" or "classes".
            weights: a file of MobileNetV2's; None takes what `load()` takes.
            engine: "openvino", "keras", or "auto": OpenVINO where it is installed.
            precision: of OpenVINO: "float32", "bfloat16", or "auto".
            seed: of the sample.
            quiet: no progress bar.

        Raises:
            DeepRankingError: of the images given none can be read, or `paths` is one path; no such look; no
                weights can be had.
            MissingExtraError: the engine is not installed.
        """
        expect("paths", not isinstance(paths, str | bytes | os.PathLike), "several images", paths)
        expect("look", look in LOOKS, f"one of {', '.join(LOOKS)}", look)
        reader = open_reader(weights, engine, precision)
        order = np.random.default_rng(seed).permutation(len(paths))[:_ROWS]
        sample: list[Any] = [paths[i] for i in np.sort(order)]
        found: list[np.ndarray] = [np.empty((0, sum(PARTS.values())), np.float32)]
        keys = [_key(path) for path in sample]  # before reading, so that no later content gets this vector
        contents: list[Any] = []
        errors: list[ImageError] = []
        with progress((), "describing", "images", total=len(sample), quiet=quiet or not sample) as bar:
            for batch in load_batches(sample, (SIDE, SIDE), _BATCH):
                errors += [error for _, error in batch.failures]
                if len(batch.images):
                    found.append(reader(batch.images))
                contents += [keys[place] for place in batch.positions]
                bar.update(len(batch.positions) + len(batch.failures))
        if sample and not contents:
            raise DeepRankingError(f"none of {len(sample)} images can be read, the first: {errors[0]}")
        parts = split(np.concatenate(found))
        made = cls(look, Map.fit(parts, look), reader)
        vectors = made.map(parts)
        made._fitted = {content: vector for content, vector in zip(contents, vectors, strict=True) if content}
        return made

    def __repr__(self) -> str:
        return f"<Description, {self.look}: images of {SIDE} x {SIDE} pixels -> {self.dimension:,} numbers>"

    def __reduce__(self) -> tuple[Any, ...]:  # another process has its own reader
        return Description.from_metadata, (self.metadata(),)

    @property
    def dimension(self) -> int:
        return self.map.dimension

    @property
    def size(self) -> tuple[int, int]:
        return SIDE, SIDE

    def embed_pixels(self, images: np.ndarray) -> np.ndarray:
        if not len(images):
            return np.zeros((0, self.dimension), np.float32)
        return self.map(split(self.reader(images)))

    def _embed(
        self, sources: Sequence[Source], batch_size: int, workers: int | None, quiet: bool
    ) -> tuple[np.ndarray, list[tuple[int, ImageError]]]:
        """Embed; what was fitted on, and has the same content still, is taken from there, once."""
        kept = self._take(sources) if self._fitted else {}
        if not kept:
            return super()._embed(sources, batch_size, workers, quiet)
        rest = [place for place in range(len(sources)) if place not in kept]
        found, failed = super()._embed([sources[place] for place in rest], batch_size, workers, quiet)
        failures = [(rest[place], error) for place, error in failed]
        broken = {place for place, _ in failures}
        fresh = iter(found)
        vectors = [
            kept[place] if place in kept else next(fresh)
            for place in range(len(sources))
            if place not in broken
        ]
        return np.stack(vectors), failures

    def _take(self, sources: Sequence[Source]) -> dict[int, np.ndarray]:
        keys = {place: _key(source) for place, source in enumerate(sources)}
        found = {place: self._fitted[key] for place, key in keys.items() if key in self._fitted}
        for place in found:
            self._fitted.pop(keys[place], None)
        return found

    def metadata(self) -> dict[str, str]:
        """Return what an index keeps, so that `from_metadata` gives this description again."""
        told = {"version": VERSION, "look": self.look, "weights": self.reader.weights}
        return {KEY: json.dumps({**told, "map": self.map.to_json()})}

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
            weights, engine, precision: as of `fit`.

        Raises:
            DeepRankingError: there is none, or one of another version; the weights at hand are others.
            MissingExtraError: the engine is not installed.
        """
        try:
            told = json.loads(metadata[KEY])
            version, look, digest, found = (told[name] for name in ("version", "look", "weights", "map"))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise DeepRankingError(
                f"description: expected what Description.metadata gives, found other text ({reason(error)})"
            ) from error
        if version != VERSION:
            raise DeepRankingError(
                f"description: expected one of version {VERSION}, found {version!r}; "
                f"{made_later(version, VERSION) or 'make the index anew'}"
            )
        return cls(str(look), Map.from_json(found), open_reader(weights, engine, precision, str(digest)))


def weights_of(metadata: Mapping[str, str]) -> str | None:
    """Return the SHA-256 of the weights that an index was described with; None where it does not say."""
    try:
        return str(json.loads(metadata[KEY])["weights"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


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
        weights: of the description's network; see `Description.fit`.

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
    return open_encoder(model, engine, precision)


def split(read: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a reader gives, (n, 2965), by part."""
    ends = np.cumsum(list(PARTS.values()))[:-1]
    return dict(zip(PARTS, np.split(read, ends, axis=1), strict=True))


def _key(source: Source) -> Any:
    """Return what tells contents apart: of a file its size and change time, as in an index; None: nothing."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).digest()
    try:
        if isinstance(content := contained(source), bytes):
            return hashlib.sha256(content).digest()
        found = Path(source).stat()  # type: ignore[arg-type] # what is no path is told below
    except (OSError, TypeError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
