"""What several commands share: flags (those made from settings too), folders of classes, loading Keras."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from deep_ranking.cli.streams import open_streams
from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.settings import ENGINES, Settings

if TYPE_CHECKING:
    from deep_ranking.embedding import Model

logger = logging.getLogger(__name__)

MODEL = "deepranking.h5"
"""Where a model is written, and read from, unless said."""

Flags = argparse._ActionsContainer
"""What flags are added to: a parser, or a group of one."""


def add_settings(
    parser: Flags,
    kind: type[Settings],
    *,
    group: str | None = None,
    leave_out: Sequence[str] = (),
    given_only: bool = False,
) -> None:
    """Declare the flags of a table of settings, named as its fields are in what is parsed.

    Args:
        parser: what gets them.
        kind: the table.
        group: those alone that stand in this group of the help; None: all.
        leave_out: fields without a flag here.
        given_only: a flag that is not given is None, whatever the default: a preset may have another.
    """
    types, blog = get_type_hints(kind), kind.blog() if hasattr(kind, "blog") else None
    for field in fields(kind):
        about = field.metadata
        if about.get("flag") is None or field.name in leave_out or group not in (None, about["group"]):
            continue
        first = next(iter(get_args(types[field.name])), types[field.name])  # int of `int | None`
        preset = getattr(blog, field.name, None)
        options: dict[str, Any] = {
            "dest": field.name,
            "help": about["help"].format(default=_shown(field.default), blog=_shown(preset)),
            "default": "auto" if about["auto"] else None if given_only else field.default,
        }
        if first is bool:
            options["action"] = argparse.BooleanOptionalAction if field.default is not False else "store_true"
        else:
            options["type"] = first if isinstance(first, type) else str
            options["choices"] = about["choices"] and ["auto"] * about["auto"] + [*about["choices"]]
            options["metavar"] = about["metavar"] or ("N" if first is int else None)
        parser.add_argument(f"--{about['flag'] or field.name}", **options)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def add_quiet(parser: Flags, **options: Any) -> None:
    """Add `--quiet`, which `progress.quietly` makes so of all that the command does."""
    about = "no progress; warnings and errors still come"
    parser.add_argument("--quiet", action="store_true", help=about, **options)


def add_json(parser: Flags, what: str = "the result as JSON") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=f"print {what}")


def add_seed(parser: Flags, about: str = "", metavar: str | None = "N") -> None:
    """Add `--seed`, 0 by default."""
    parser.add_argument("--seed", type=int, default=0, metavar=metavar, help=f"{about} (default: 0)".strip())


def add_model(parser: Flags, about: str, metavar: str | None = None) -> None:
    """Add `--model`, `MODEL` by default."""
    parser.add_argument("--model", default=MODEL, metavar=metavar, help=f"{about} (default: {MODEL})")


def add_store(parser: Flags, purpose: str) -> None:
    """Add `--index DIR`, which may be spelled `--store URL`; both are `args.index`."""
    about = (
        f"{purpose}: a folder, postgresql://[USER@]HOST/DATABASE[?index=NAME], "
        "or ray://local/FOLDER (ray://HOST:PORT/FOLDER) for shards on a Ray cluster"
    )
    parser.add_argument("--index", "--store", required=True, metavar="DIR|URL", help=about)


def add_ratings(parser: Flags, what: str) -> None:
    """Add `--ratings FILE`."""
    about = f"where {what} kept (default: ratings.sqlite in the index's folder)"
    parser.add_argument("--ratings", metavar="FILE", help=about)


def add_engine(parser: Flags) -> None:
    """Add `--engine` and `--precision`; they are what `Model.load` takes."""
    parser.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="what runs the network; auto: openvino on a processor where it is installed, several times "
        "faster; else keras (default: auto)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="float32",
        help="of the engine openvino; auto: bfloat16 if the processor has it, twice as fast, with distances "
        "that differ in the third digit (default: float32)",
    )


def embedding_model(path: str, engine: str = "keras", precision: str = "float32") -> "Model":
    """Import Keras quietly, and load a model; raises as `import_keras` and `Model.load` do."""
    import_keras()
    from deep_ranking.embedding import Model

    return Model.load(path, engine, precision)


def classes_below(folder: str, root: str = "") -> dict[str, list[str]]:
    """Return class name -> its images, as `os.path.join(root, image)` opens them; warn of what is no image.

    Raises:
        DeepRankingError: the folder is missing, or no sub-folder holds an image.
    """
    from deep_ranking.images.find import find_classes

    skipped: list[str] = []
    classes = find_classes(folder, on_skip=skipped.append)
    if skipped:
        logger.warning("%s: %d files left out, no image of a class: %s", folder, len(skipped), skipped[0])
    return {
        name: [relative_name(os.path.join(folder, image), root) for image in images]  # noqa: PTH118
        for name, images in classes.items()
    }


def relative_name(path: str, root: str) -> str:
    """Return a path relative to a root, with `/` between folders; without a root, the path itself."""
    return os.path.relpath(path, root).replace(os.sep, "/") if root else path


def warn_of_skipped(files: Sequence[str]) -> None:
    """Say how many files are no images, if any, and name the first."""
    if files:
        logger.warning("%d files are no images and were left out, the first: %s", len(files), files[0])


def import_keras(*more: str) -> None:
    """Import Keras with standard error put aside; errors still come as exceptions.

    TensorFlow's libraries write a few lines to file descriptor 2 before any of its settings are read.

    Args:
        more: modules to import with it; `fit` imports TensorFlow on every backend.

    Raises:
        DeepRankingError: the backend that KERAS_BACKEND names is not installed, or there is none such.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its later notes
    open_streams()
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        for name in ("keras", *more):
            importlib.import_module(name)
    except (ImportError, ValueError) as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise DeepRankingError(
            f"KERAS_BACKEND={backend}: Keras cannot be imported ({reason(error)}); install this backend, or "
            "leave the variable out to use TensorFlow"
        ) from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
