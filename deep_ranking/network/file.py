"""The model file: a network with the settings, the data's fingerprint and the metrics that belong to it.

`.h5` by default, `.keras` by ending. Any Keras loads it after `import deep_ranking`, in safe mode; what is
ours lies beside it as JSON, in an attribute of the `.h5` or a member of the `.keras`.

Models are passed on, so a file may be a stranger's. Keras's safe mode keeps it from running code, but not
from naming other files to be read, asking for terabytes, or making the libraries read without end. So files
are opened by `untrusted`, here and nowhere else, and a network that a file describes is built within
`at_most_weights`.
"""

import json
import logging
import math
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import keras

from deep_ranking.errors import DeepRankingError, MissingExtraError, reason
from deep_ranking.files import written_whole
from deep_ranking.network import hdf5, hub, layers  # noqa: F401 - the layers that a saved model names

_KEY = "deep_ranking"
_MEMBER, _LONGEST_MEMBER = "deep_ranking.json", 64 * 2**20  # bytes
ENDINGS = (".h5", ".keras")

_one_at_a_time = threading.RLock()


class ModelFileError(DeepRankingError):
    """A file of a model, of weights or of a training's state that cannot be used; the message names it."""


def save_network(network: keras.Model, path: str | os.PathLike[str], metadata: dict[str, Any]) -> None:
    """Save a network with its metadata, whole or not at all.

    Args:
        network: what `build_network` gave.
        path: ends in `.h5` or `.keras`, which chooses the format.
        metadata: anything that JSON holds.

    Raises:
        ModelFileError: another ending.
        OSError: the file cannot be written.
    """
    check_ending(path)
    hub.keep_positions(network)
    with written_whole(path) as temporary, _without_legacy_warning():
        network.save(temporary)
        text = json.dumps(metadata, sort_keys=True)
        if temporary.suffix == ".h5":
            with h5py.File(temporary, "r+") as file:
                file.attrs[_KEY] = text
        else:
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_MEMBER, text)


def load_network(path: str | os.PathLike[str]) -> tuple[keras.Model, dict[str, Any]]:
    """Load a network and its metadata; nothing from the file is executed (Keras's safe mode).

    A network of more weights than the file has bytes is refused before memory is taken for it.

    Returns:
        The model, and what `save_network` was given; an empty dict for a model saved by others.

    Raises:
        ModelFileError: missing, no model, damaged, or refused by safe mode.
    """
    path, metadata = Path(path), read_metadata(path)
    try:
        hub.check_named(_description(path), path)
        most = path.stat().st_size
        with warnings.catch_warnings(), _without_legacy_warning(), at_most_weights(most):
            # Keras builds an optimizer-less model and says so; it is what is wanted here.
            warnings.simplefilter("ignore")
            network = keras.models.load_model(path, compile=False, safe_mode=True)
        if not isinstance(network, keras.Model):  # the file may describe whatever Keras can make
            raise TypeError(f"expected a model, found a {type(network).__name__}")
    except MissingExtraError:
        raise
    # Keras raises whatever its parsers raise on a foreign or damaged file.
    except Exception as error:
        raise ModelFileError(f"{path}: cannot be loaded as a model: {reason(error):.300}") from error
    return network, metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the metadata of a model file without building the model.

    Raises:
        ModelFileError: the file is missing, is no model file, or its metadata is damaged.
    """
    path = Path(path)
    check_ending(path)
    if not path.is_file():
        raise ModelFileError(
            f"{path}: expected a model file, found nothing; train one with: deep-ranking train"
        )
    with untrusted(path, f"a {path.suffix} model file") as file:
        if path.suffix == ".h5":
            return dict(json.loads(file.attrs.get(_KEY, "{}")))
        if _MEMBER not in file.namelist():
            return {}
        if file.getinfo(_MEMBER).file_size > _LONGEST_MEMBER:
            raise ValueError(f"{_MEMBER} is over {_LONGEST_MEMBER:,} bytes long")
        return dict(json.loads(file.read(_MEMBER)))


def _description(path: Path) -> Any:
    """Return what a model file says of its network, parsed."""
    with untrusted(path, f"a {path.suffix} model file") as file:
        if path.suffix == ".h5":
            return json.loads(file.attrs.get("model_config", "{}"))
        return json.loads(file.read("config.json")) if "config.json" in file.namelist() else {}


def check_ending(path: str | os.PathLike[str]) -> None:
    """Raise a `ModelFileError` unless the name ends as a model file does."""
    if Path(path).suffix not in ENDINGS:
        raise ModelFileError(f"{os.fspath(path)}: expected a name that ends in {' or '.join(ENDINGS)}")


@contextmanager
def untrusted(path: str | os.PathLike[str], expected: str) -> Iterator[Any]:
    """Open a file of a model, of weights or of a training's state, whoever made it.

    In HDF5, links into other files, data kept in other files, arrays larger than the file and heaps on which
    the library might not end are refused. Inside a `.keras`, Keras refuses them itself.

    Args:
        path: the file.
        expected: what it should be, for the error.

    Yields:
        A `ZipFile` for a name that ends in `.keras`, otherwise an `h5py.File`.

    Raises:
        ModelFileError: also for whatever the libraries raise in the block.
    """
    opened = hdf5.opened_archive if Path(path).suffix == ".keras" else hdf5.opened
    try:
        with opened(path) as file:
            yield file
    except DeepRankingError:
        raise
    # Of a damaged file they raise nearly anything: struct.error, zlib.error, SystemError, ...
    except Exception as error:
        raise ModelFileError(
            f"{os.fspath(path)}: expected {expected}, found something else or a damaged one "
            f"({reason(error):.200})"
        ) from error


@contextmanager
def at_most_weights(most: int) -> Iterator[None]:
    """Let no more weights be made in the block than this, all layers together.

    A description of a few bytes may ask for terabytes, which Keras would take before it looks for the values.

    Raises:
        DeepRankingError: the block asked for more; none of that was taken.

    Example:
        >>> with at_most_weights(10):
        ...     _ = keras.Sequential([keras.Input((3,)), keras.layers.Dense(100)])
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: it asks for 300 weights or more, where there is room for 10
    """
    made, thread = 0, threading.get_ident()
    add_weight = keras.Layer.add_weight

    def counted(layer: keras.Layer, shape: Any = None, *args: Any, **options: Any) -> Any:
        nonlocal made
        if threading.get_ident() == thread:
            made += math.prod(shape or ())
            if made > most:
                raise MemoryError
        return add_weight(layer, shape, *args, **options)

    with _one_at_a_time:
        keras.Layer.add_weight = counted
        try:
            yield
        except Exception as error:
            if made <= most:
                raise
            raise DeepRankingError(  # Keras has wrapped the other in words of its own
                f"it asks for {made:,} weights or more, where there is room for {most:,}"
            ) from error
        finally:
            keras.Layer.add_weight = add_weight


@contextmanager
def _without_legacy_warning() -> Iterator[None]:
    """Keep Keras from calling `.h5` old at every save; it is this project's format by choice."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
