"""What several commands share: flags (those made from settings too), folders of classes, loading Keras."""

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from deep_ranking.cli import checks, places
from deep_ranking.cli.streams import open_streams
from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.location import index_of
from deep_ranking.settings import ENGINES, Settings

if TYPE_CHECKING:
    from deep_ranking.embedding import Model
    from deep_ranking.embedding.encoder import Encoder

MODEL = "deepranking.h5"
"""Where a model is written, and read from, unless said."""

LOOKS = ("balanced", "people", "classes")
"""Of a description (`description.description.LOOKS`, which imports much)."""

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


def add_model(parser: Flags, about: str, metavar: str | None = None, written: bool = False) -> None:
    """Add `--model`: what is written, `MODEL` by default; or what is read, where the command has its own."""
    told = MODEL if written else f"{MODEL} if it is there"
    default = MODEL if written else None
    parser.add_argument("--model", default=default, metavar=metavar, help=f"{about} (default: {told})")


def add_look(parser: Flags) -> None:
    """Add `--look`, of where no model is given."""
    about = (
        "what counts as alike where no model is given: people, what they would say; classes, what is of one "
        "kind; balanced between them (default: balanced)"
    )
    parser.add_argument("--look", choices=LOOKS, help=about)


def add_weights(parser: Flags) -> None:
    """Add `--weights FILE`, which is where `default_model` takes its weights from."""
    about = "MobileNetV2's ImageNet weights, where no model is given and they cannot be downloaded"
    parser.add_argument("--weights", metavar="FILE", help=f"{about} (default: $DEEP_RANKING_WEIGHTS)")


def tell_next(args: argparse.Namespace, *commands: str) -> None:
    """Say on standard error what may be typed next; not with `--json` or `--quiet`."""
    for number, command in enumerate(commands):
        tell(args, f"{' ' * 5 if number else 'next:'} deep-ranking {command}")


def tell_model(args: argparse.Namespace, model: str, images: str) -> None:
    """Say what may be typed next with a model that was written."""
    # An index of the folder may be there already, made with something else.
    own = f" --index {places.typed(str(Path(model).with_suffix('.index')))}" if index_of(images) else ""
    model, images = places.typed(model), places.typed(images)
    tell_next(args, f"similarity --model {model} IMAGE IMAGE", f"index {images} --model {model}{own}")


def tell(args: argparse.Namespace, line: str) -> None:
    """Say something on standard error; not with `--json` or `--quiet`."""
    if not args.quiet and not getattr(args, "json", False):
        sys.stdout.flush()  # so that this comes after what was printed before
        print(line, file=sys.stderr)


def write_page(parts: Iterable[str], path: str | None, name: str, shown: bool) -> None:
    """Write a page of HTML, and show it in the browser if that is wanted.

    Args:
        parts: of the page.
        path: where it is written; None: into a file of its own among the temporary ones.
        name: begins that file's name.
        shown: in the browser; where there is none, it is said where the page is.
    """
    import tempfile
    import webbrowser

    from deep_ranking.files import written_whole

    if path is None:
        number, path = tempfile.mkstemp(".html", f"deep-ranking-{name}-")
        os.close(number)
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(parts)
    if shown:
        address = Path(path).absolute().as_uri()
        opened = webbrowser.open(address)
        print(
            f"{'shown in the browser' if opened else 'to be opened in a browser'}: {address}", file=sys.stderr
        )


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


def embedding_model(
    path: str | None, engine: str = "keras", precision: str = "float32", weights: str | None = None
) -> "Model":
    """Import Keras quietly, and load a model; None: the pretrained one.

    Args:
        path: of the model file; what is wrong with it is said before Keras is imported.
        engine, precision: as of `Model.load`.
        weights: file of the weights of the pretrained one; None: `DEEP_RANKING_WEIGHTS`, or a download.

    Raises:
        DeepRankingError: as by `checks.model`, `import_keras` and `Model.load`.
    """
    checks.network(path, weights)
    import_keras()
    from deep_ranking.embedding import Model

    if path is None:
        return Model.pretrained(engine, precision, weights)
    return Model.load(path, engine, precision)


def encoder(path: str, engine: str = "auto", precision: str = "float32", quiet: bool = True) -> "Encoder":
    """Return what embeds by a model file; Keras is imported where its network is not kept.

    Args:
        path: of the model file; what is wrong with it is said before Keras is imported.
        engine, precision: as of `open_encoder`.
        quiet: do not say what runs it.

    Raises:
        DeepRankingError: as by `checks.model`, `import_keras` and `open_encoder`.
    """
    checks.model(path)
    from deep_ranking.embedding.kept import KeptModel, kept_encoder, number_type, open_encoder

    found: Encoder | None = kept_encoder(path, engine, precision)
    if found is None:
        import_keras()
        found = open_encoder(path, engine, precision)
    if not quiet:
        kept = isinstance(found, KeptModel)
        name = "OpenVINO" if kept else f"Keras on {os.environ.get('KERAS_BACKEND', 'tensorflow')}"
        print(f"embedding with {name} in {number_type(precision) if kept else 'float32'}", file=sys.stderr)
    return found


def model_of(index: str, metadata: Mapping[str, str], model: str | None = None) -> str | None:
    """Return the model file that an index is of, after a look whether it still is; None: a description.

    Args:
        index: its name.
        metadata: of it.
        model: a file in place of the one that is remembered, if that was moved.

    Raises:
        DeepRankingError: there is none, or another.
    """
    path = model or metadata.get("model")
    if path:
        checks.model_of_index(path, metadata["fingerprint"], index, remembered=not model)
    elif "description" not in metadata:
        raise DeepRankingError(f"{index}: it was not told which model it is of; name it with --model FILE")
    return path


def embedder_of(args: argparse.Namespace, index: str, metadata: Mapping[str, str]) -> "Encoder":
    """Import Keras quietly, and load what embeds new images for an index.

    Args:
        args: of a command: `model` and `weights`.
        index, metadata: as of `model_of`.

    Raises:
        DeepRankingError: as by `model_of`, `encoder` and `deep_ranking.embedder_of`.
    """
    path = model_of(index, metadata, args.model)
    if path:
        return encoder(path)
    import deep_ranking
    from deep_ranking.description.description import weights_of

    start_description(args.weights, digest=weights_of(metadata))

    return deep_ranking.embedder_of(metadata, weights=args.weights)


def start_description(weights: str | None, engine: str = "auto", digest: str | None = None) -> None:
    """Look at the weights of a description's network, and import Keras quietly if it has to be made.

    `digest` is theirs, where these and no others are wanted: a network of them may be kept.
    """
    checks.network(None, weights)
    from deep_ranking.description.reader import needs_keras

    if needs_keras(weights, engine, digest):
        import_keras()


@contextmanager
def signals_noted() -> Iterator[None]:
    """Note SIGINT and SIGTERM in the block, and obey them right after it.

    For imports: what a signal raises in the midst of one may be caught there, or leave half a library.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted: list[int] = []
    # Where a signal ends the process by itself, or is ignored, nobody can swallow it.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    taken = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in taken:
        signal.signal(number, lambda number, frame: noted.append(number))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        if noted:
            signal.raise_signal(noted[0])


@signals_noted()
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
        # What a keras.json of the user's says is for other work; see `network.own_conventions`.
        if config := getattr(sys.modules["keras"], "config", None):
            config.set_image_data_format("channels_last")
            config.set_floatx("float32")
    except (ImportError, ValueError) as error:
        why = f"Keras cannot be imported ({reason(error)})"
        if backend := os.environ.get("KERAS_BACKEND"):
            raise DeepRankingError(
                f"KERAS_BACKEND={backend}: {why}; install this backend, or leave the variable out to use "
                "TensorFlow"
            ) from error
        raise DeepRankingError(
            f"{why}; mend what that names (a backend that a keras.json names is overruled by "
            "KERAS_BACKEND=tensorflow)"
        ) from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
