"""Networks converted for OpenVINO, kept in a folder of the user's: a later process runs them without Keras.

One is made here, of a network in hand, and found again by the content of the file that this was read from and
by the versions at work; an index that is passed on brings none.
"""

import hashlib
import logging
import os
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deep_ranking.embedding.encoder import Encoder
from deep_ranking.embedding.runner import PRECISIONS, Runner, import_openvino, multiplies_bfloat16
from deep_ranking.errors import DeepRankingError, expect, reason
from deep_ranking.files import file_hash, read_arrays, written_whole

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "DEEP_RANKING_CACHE"
"""Names the folder where networks are kept."""

MOST_KEPT = 2 << 30
"""Bytes that they take together; of more, those go that were not used for longest."""

_VERSION = "1"  # of how a network is converted and run
_ACCELERATORS = "/dev/nvidiactl", "/dev/kfd"


def cache_folder() -> Path:
    """Return $DEEP_RANKING_CACHE, or else `deep_ranking` in $XDG_CACHE_HOME or ~/.cache."""
    own, shared = os.environ.get(CACHE_VARIABLE), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else (Path(shared) if shared else home() / ".cache") / "deep_ranking"


def home() -> Path:
    """Return the user's folder; one that cannot be there for a user whom the system does not know."""
    try:
        return Path.home()
    except RuntimeError:  # as in a container that runs under some number
        return Path(os.devnull)


def key_of(fingerprint: str, what: str) -> str:
    """Return what tells a kept network from others, 16 characters: its file's SHA-256 and what reads it."""
    told = f"{what} {_VERSION} {version('openvino')} {fingerprint}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def keep(name: str, model: Any) -> None:
    """Write OpenVINO's model under a name, whole; where it cannot be written, tell so and go on."""
    openvino, path = import_openvino(), cache_folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as folder:
            xml = Path(folder) / "network.xml"
            openvino.save_model(model, xml, compress_to_fp16=False)
            graph, weights = (np.fromfile(xml.with_suffix(end), np.uint8) for end in (".xml", ".bin"))
        about = np.array([version("openvino"), _VERSION, _sha256(graph, weights)])
        with written_whole(path) as temporary, temporary.open("wb") as data:
            np.savez(data, graph=graph, weights=weights, about=about)
        _make_room(path)
    except OSError as error:
        logger.warning(
            "the network is made anew each time: %s; %s names another folder", reason(error), CACHE_VARIABLE
        )


def _make_room(newest: Path) -> None:
    used = sorted(
        (found.st_mtime, found.st_size, path)
        for path in newest.parent.glob("*-*.npz")
        for found in [path.stat()]
        if path != newest
    )
    taken = newest.stat().st_size + sum(size for _, size, _ in used)
    for _, size, path in used:
        if taken <= MOST_KEPT:
            break
        path.unlink(missing_ok=True)
        taken -= size


def opened(path: Path) -> Any:
    """Return OpenVINO's model as it was kept; None where there is none to use."""
    try:
        arrays = read_arrays(path)
        graph, weights = arrays["graph"], arrays["weights"]
        made_by, converted, sha256 = arrays["about"].tolist()
        if _sha256(graph, weights) != sha256:
            raise DeepRankingError(f"{path}: expected the bytes that were written, found others")
        if (made_by, converted) != (version("openvino"), _VERSION):
            return None
        openvino = import_openvino()
        model = openvino.Core().read_model(graph.tobytes(), openvino.Tensor(weights))
        os.utime(path)
    except FileNotFoundError:
        return None
    except Exception as error:  # of OpenVINO too
        logger.warning("damaged, and made anew: %s", reason(error))
        return None
    return model


def number_type(precision: str) -> str:
    """Return what "auto" stands for on this processor, or the number type itself, if there is such.

    Raises:
        DeepRankingError: there is no such precision.
    """
    if precision == "auto":
        return "bfloat16" if multiplies_bfloat16() else "float32"
    expect("precision", precision in PRECISIONS, f"auto, {' or '.join(PRECISIONS)}", precision)
    return precision


class KeptModel(Encoder):
    """A model file's network as OpenVINO runs it; Keras is neither imported nor needed.

    Args:
        model: OpenVINO's, from images (n, height, width, 3), RGB 0..255, to vectors (n, d).
        fingerprint: SHA-256 of the model file.
        precision: as of `Runner`.
    """

    def __init__(self, model: Any, fingerprint: str, precision: str = "float32"):
        self.model, self.fingerprint, self.precision = model, fingerprint, precision
        self._shapes = model.input(0).partial_shape, model.output(0).partial_shape

    @cached_property
    def _engine(self) -> Runner:
        return Runner(self.model, self.precision)

    @property
    def dimension(self) -> int:
        return int(self._shapes[1][1].get_length())

    @property
    def size(self) -> tuple[int, int]:
        height, width = (self._shapes[0][side].get_length() for side in (1, 2))
        return height, width

    def embed_pixels(self, images: np.ndarray) -> np.ndarray:
        return self._engine(images) if len(images) else np.zeros((0, self.dimension), np.float32)


def open_encoder(path: str | os.PathLike[str], engine: str = "auto", precision: str = "float32") -> Encoder:
    """Return what embeds by a model file: its network as it is kept, or loaded by Keras, converted and kept.

    The arguments and errors are those of `deep_ranking.load`; only the first time takes Keras's seconds.
    """
    if (kept := kept_encoder(path, engine, precision)) is not None:
        return kept
    from deep_ranking.embedding.engines import convert, make_engine, resolve
    from deep_ranking.embedding.model import Model

    loaded = Model.load(path)
    if not _by_openvino(engine) or resolve(engine, precision)[0] != "openvino":
        loaded.engine = make_engine(engine, loaded.network, precision)
        return loaded
    try:
        model = convert(loaded.network)
        encoder = KeptModel(model, loaded.fingerprint, number_type(precision))
    except Exception as error:  # of its own kinds, and TensorFlow's
        if engine == "openvino":
            raise
        logger.warning("OpenVINO does not take this network (%s); Keras runs it", reason(error))
        return loaded
    keep(_name(loaded.fingerprint), model)
    return encoder


def kept_encoder(
    path: str | os.PathLike[str], engine: str = "auto", precision: str = "float32"
) -> KeptModel | None:
    """Return what embeds by a model file without Keras; None where none is kept, or is to be used.

    The arguments are those of `open_encoder`.
    """
    if not _by_openvino(engine) or not Path(path).is_file():
        return None
    fingerprint = file_hash(path).hex()
    model = opened(cache_folder() / _name(fingerprint))
    return None if model is None else KeptModel(model, fingerprint, number_type(precision))


def _by_openvino(engine: str) -> bool:
    by_backend = os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    by_accelerator = engine == "auto" and any(map(os.path.exists, _ACCELERATORS))
    return not (engine == "keras" or by_backend or by_accelerator) and find_spec("openvino") is not None


def _name(fingerprint: str) -> str:
    return f"model-{key_of(fingerprint, 'model')}.npz"


def _sha256(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
