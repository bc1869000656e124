"""What is wrong with a path or a model file, told before anything slow is imported."""

import os
import struct
import zipfile
from contextlib import suppress
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from deep_ranking.cli.parser import nearest
from deep_ranking.errors import DeepRankingError, MissingExtraError, reason
from deep_ranking.location import STORE, how_to_make, index_of, is_address
from deep_ranking.settings import WEIGHTS_VARIABLE

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LOW_RESOLUTION = struct.pack("<4Q", 8, 8, 3, 96)
"""The shape of what a file of the blog's weights has and a backbone has not, as HDF5 writes it."""
_KINDS = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF",
}
_KINDS |= {
    b"PK\3\4": "a ZIP archive",
    _HDF5: "HDF5",
    b"SQLite format 3": "an SQLite file",
    b"": "something else",
}


def index(place: str) -> None:
    """Raise DeepRankingError unless there is an index at a place, or beside the folder that it is."""
    if index_of(place) is None:
        raise DeepRankingError(
            f"{place}: expected an index, found no {STORE} in it; make one with: {how_to_make(place)}"
        )


def folder(path: str) -> None:
    """Raise DeepRankingError unless there is a folder, or an address."""
    if not is_address(path) and not Path(path).is_dir():
        from deep_ranking.containers import CONTAINERS  # read in place, where they lie

        how = "give the folder that holds it" if path.endswith(CONTAINERS) else "check the path"
        found = f"a file; {how}" if Path(path).exists() else f"nothing{_nearby(path)}"
        raise DeepRankingError(f"{path}: expected a folder of images, found {found}")


def _nearby(path: str) -> str:
    """Return a question after what lies there under nearly this name, or else what to do."""
    parent, name = os.path.split(os.path.normpath(path))
    with suppress(OSError):
        near = [entry.name for entry in islice(os.scandir(parent or "."), 1000)]
        return nearest(name, near) or "; check the path"
    return "; check the path"


def images(paths: "list[str] | tuple[str, ...]") -> None:
    """Raise ImageError unless these files are there and begin as images do; their headers are read."""
    from deep_ranking.containers import is_contained

    for path in paths:
        if not Path(path).exists() and not is_contained(path):  # said without NumPy
            raise DeepRankingError(f"{path}: no such image{_nearby(path)}")
    from deep_ranking.images.decode import read_size

    for path in paths:
        read_size(path)


def output(path: str | None) -> None:
    """Raise DeepRankingError where a file that is to be written, if any, cannot be."""
    if path is not None:
        from deep_ranking.files import check_writable

        check_writable(path)


def model(path: str) -> None:
    """Raise DeepRankingError unless a file may be a model, by a look at how it begins."""
    file = Path(path)
    if file.suffix not in (".h5", ".keras"):
        raise DeepRankingError(f"{path}: expected a name that ends in .h5 or .keras")
    if not file.is_file():
        raise DeepRankingError(
            f"{path}: expected a model file, found {'a folder' if file.is_dir() else 'nothing'}; leave out "
            "--model for one that needs no training, or train one with: deep-ranking train"
        )
    try:
        found = _wrong_kind(file)
    except OSError as error:
        raise DeepRankingError(reason(error)) from error
    if found:
        raise DeepRankingError(f"{path}: expected a {file.suffix} model file, found {found}")


def holds_network(path: Path) -> bool:
    """Tell whether a file is a model's, with its layers, and not of weights alone, by a look at its bytes."""
    return path.suffix in (".h5", ".keras") and not _wrong_kind(path)


def model_of_index(path: str, fingerprint: str, index: str, remembered: bool) -> None:
    """Raise DeepRankingError unless a file is the model that an index was made with.

    Args:
        path: of the file.
        fingerprint: SHA-256 of the file that it was made with.
        index: its name.
        remembered: the path is the one that the index remembers, and was not given.
    """
    if remembered and not Path(path).is_file():
        raise DeepRankingError(
            f"{index}: made with the model {path}, which is not there any more; if it was moved, say where "
            "it is with --model FILE, else delete the index and make it again"
        )
    model(path)
    from deep_ranking.files import file_hash

    found = file_hash(path).hex()
    if found != fingerprint:
        raise DeepRankingError(
            f"{index}: made with another model ({fingerprint[:12]}) than {path} is now ({found[:12]}); their "
            "distances cannot be compared: use that model, delete the index, or choose another place for it"
        )


def weights(path: str, source: str = "--weights", words: str = "") -> None:
    """Raise DeepRankingError unless a file that `source` names is one of weights, by how it begins."""
    if not Path(path).is_file():
        raise DeepRankingError(f"{source} {path}: expected {words}a file of weights, found no such file")
    with Path(path).open("rb") as file:
        start = file.read(16)
    if not start.startswith((_HDF5, b"PK\3\4")):
        raise DeepRankingError(f"{source} {path}: expected a file of weights (.h5), found {_kind(start)}")


def starting_weights(given: str | None) -> None:
    """Raise DeepRankingError unless this is a word for weights, or a file of them."""
    if given not in (None, "imagenet", "none"):
        weights(str(given), words="imagenet, none, or ")


def backbone(name: str | None) -> None:
    """Raise MissingExtraError for a backbone of KerasHub's where that is not installed."""
    if str(name).startswith("hub:") and find_spec("keras_hub") is None:
        raise MissingExtraError("keras-hub", "hub", f"--backbone {name}")


def network(model_file: str | None, weights_file: str | None) -> None:
    """Raise DeepRankingError unless what is given of a model, or the pretrained one's weights, may be so."""
    if model_file is not None:
        model(model_file)
    elif weights_file is not None:
        weights(weights_file)
    elif in_variable := os.environ.get(WEIGHTS_VARIABLE):
        weights(in_variable, f"{WEIGHTS_VARIABLE}:")


def _wrong_kind(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(16)
    if path.suffix == ".keras":
        if not start.startswith(b"PK\3\4"):
            return _kind(start)
        try:
            with zipfile.ZipFile(path) as archive:
                return "" if "config.json" in archive.namelist() else "a ZIP archive without a network in it"
        except zipfile.BadZipFile:
            return "a damaged ZIP archive"
    if not start.startswith(_HDF5):
        return _kind(start)
    import mmap

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        known = any(data.find(sign) >= 0 for sign in (b"model_config", _LOW_RESOLUTION))
    return "" if known else "HDF5 without a network in it (weights alone go to --weights)"


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    text = start.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in start)
    return "text" if text else next(kind for begin, kind in _KINDS.items() if start.startswith(begin))
