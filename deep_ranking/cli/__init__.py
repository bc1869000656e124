"""The command line: one file a command; parse first, import the heavy things after.

A command is a module with `EXAMPLES` (what is typed after its name -> what it does), `MAIN` (the flags that
matter most), `add_arguments(parser)` and `run(args)`. The commands are listed here by name, so that `--help`
imports none of them. Stopped by Ctrl-C or SIGTERM, a command tidies up and says so.
"""

import importlib
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType, ModuleType
from typing import Any, NoReturn

from deep_ranking import __version__
from deep_ranking.cli.parser import USAGE, Parser, UsageError, nearest
from deep_ranking.cli.shared import add_quiet
from deep_ranking.cli.streams import codec_errors, open_streams
from deep_ranking.errors import DeepRankingError, one_line, reason

COMMANDS = {
    "index": "embed a folder of images, to search it",
    "search": "find the images nearest to an image",
    "duplicates": "list images that are alike or the same",
    "similarity": "print the distance between two images",
    "serve": "open a local page to search, compare, rate and see a map",
    "ratings": "write what people rated on the page as triplets",
    "sample": "write a triplet file from a folder of classes",
    "train": "learn a network from triplets",
    "learn": "learn how an index is searched from what people rated",
    "blend": "make a network from rated triplets, its backbone frozen",
    "evaluate": "measure how well images are ranked, beside baselines",
    "report": "write a page with pictures on a model, to open offline",
    "prepare": "draw or unpack a data set",
    "features": "describe images by a hand-made feature of the paper",
    "golden": "weigh features by triplets that people rated",
    "export": "write a model for another runtime",
}

GROUPS = {
    "find": ("index", "search", "duplicates", "similarity"),
    "look and rate": ("serve", "ratings"),
    "learn": ("learn", "sample", "train", "blend"),
    "measure": ("evaluate", "report"),
    "data, and other programs": ("prepare", "features", "golden", "export"),
}
"""The commands by what they are for, as they are shown."""

EXAMPLES = {
    "index photos": "a folder of images; nothing to train",
    "search photos new.jpg --open": "what is most like new.jpg, as pictures",
    "duplicates photos": "what is there twice, or nearly",
}

DONE, FAILED = 0, 1
_MOMENT = 0.05  # seconds

INTERRUPTED, TERMINATED = 130, 143  # 128 and the number of the signal, as a shell reports them

STATUSES = {
    DONE: "done",
    FAILED: "failed; standard error says why",
    USAGE: "usage: the command or a flag is unknown, or its value is no number, no such choice",
    INTERRUPTED: "interrupted (Ctrl-C)",
    TERMINATED: "terminated (SIGTERM)",
}
"""What the exit status of a command says."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, so that all that tidies up after Ctrl-C does so after this too."""


def entry() -> NoReturn:
    """Run the command line, and end the process with its exit status."""
    _leave(main())


def script(command: str, prog: str) -> NoReturn:
    """Run one command under a name of its own, and end the process with its exit status."""
    _leave(run_command(command, sys.argv[1:], prog))


def main(argv: Sequence[str] | None = None) -> int:
    """Run `deep-ranking COMMAND ...`, and return the exit status; `STATUSES` says what they mean."""
    argv = sys.argv[1:] if argv is None else list(argv)
    width = max(map(len, COMMANDS)) + 2
    shown = {title: {name: COMMANDS[name] for name in names} for title, names in GROUPS.items()}
    shown["other"] = {name: about for name, about in COMMANDS.items() if name not in sum(GROUPS.values(), ())}
    shown["exit status"] = {str(status): about for status, about in STATUSES.items()}
    tables = (
        "\n".join([f"{title}:", *(f"  {name:<{width}}{about}" for name, about in table.items())])
        for title, table in shown.items()
        if table
    )
    parser = Parser(
        prog="deep-ranking",
        usage="deep-ranking COMMAND ...",
        examples=EXAMPLES,
        description="Find what is similar in your images, as it is or as you teach it.",
        epilog="\n\n".join(tables),
    )
    add = parser.add_argument
    add("--version", action="version", version=f"deep-ranking {__version__}")
    add("command", metavar="COMMAND", nargs="?", help="one of those below; COMMAND --help says more")
    command = parser.parse_args(argv[:1]).command
    if command is None:
        parser.exit(USAGE, parser.format_help())
    if command not in COMMANDS:
        folder = f"; for that folder: deep-ranking index {command}" if os.path.isdir(command) else ""  # noqa: PTH112
        parser.error(f"{command!r}: no such command{folder or nearest(command, COMMANDS)}")
    return run_command(command, argv[1:], prog=f"deep-ranking {command}")


def run_command(command: str, argv: Sequence[str], prog: str) -> int:
    """Parse `argv` for one command, run it, and turn its errors into a message and an exit status."""
    open_streams()
    try:
        with warnings.catch_warnings(), _stopped_by_signals():
            warnings.showwarning = partial(_show_warning, prog)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata is not the user's concern
            _run(command, argv, prog)
        return DONE
    except KeyboardInterrupt as stop:
        return _report_stop(prog, stop)
    except BrokenPipeError:  # `... | head` closed its end; nobody is left to read an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except UsageError as error:
        print(one_line(f"{prog}: error: {error} (see {prog} --help)"), file=sys.stderr)
        return USAGE
    except (DeepRankingError, OSError) as error:
        told = error if isinstance(error, DeepRankingError) else reason(error)
    except Exception as error:
        # Each backend has an exception of its own for this; TensorFlow's goes by this name.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        told = "out of memory; take smaller batches, images or embeddings"
    print(one_line(f"{prog}: error: {told}"), file=sys.stderr)
    return FAILED


def command_module(command: str) -> ModuleType:
    """Return the module of a command, which may be one that an extra brings."""
    extras: dict[str, str] = importlib.import_module("deep_ranking.extras").COMMANDS
    own = f"extras.{extras[command]}" if command in extras else f"cli.{command}"
    return importlib.import_module(f"deep_ranking.{own}")


def command_parser(module: ModuleType, prog: str) -> Parser:
    """Return the parser of a command's module."""
    examples, main = (getattr(module, name, ()) for name in ("EXAMPLES", "MAIN"))
    parser = Parser(prog=prog, description=module.__doc__, examples=dict(examples), main=main)
    module.add_arguments(parser)
    add_quiet(parser)
    return parser


def _run(command: str, argv: Sequence[str], prog: str) -> None:
    module = command_module(command)
    args = command_parser(module, prog).parse_args(argv)
    for name, value in vars(args).items():
        setattr(args, name, _as_on_disk(value))
    logging.basicConfig(format=f"{prog}: %(levelname)s: %(message)s", level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_in_one_line)
    for level in (logging.WARNING, logging.ERROR):
        logging.addLevelName(level, logging.getLevelName(level).lower())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=codec_errors())
    from deep_ranking.progress import quietly

    with quietly(args.quiet):
        module.run(args)
    if decoder := sys.modules.get("deep_ranking.images.forms"):
        for told in decoder.take_notices():  # that reading one image after another left untold
            logging.getLogger(__name__).warning("%s", told)
    sys.stdout.flush()  # here, where a closed pipe can still be told


def _as_on_disk(value: Any) -> Any:
    """Return what was typed, names of files and folders in the form of Unicode that they have on the disk."""
    if isinstance(value, list):
        return [_as_on_disk(one) for one in value]
    if not isinstance(value, str) or value.isascii():
        return value
    from deep_ranking.files import as_on_disk

    return as_on_disk(value)


def _in_one_line(record: logging.LogRecord) -> bool:
    if not getattr(record, "is_table", False):  # whose cells are lines without breaks
        record.msg, record.args = one_line(record.getMessage()), None
    return True


def _show_warning(prog: str, message: Warning | str, *where: object) -> None:
    """Show a warning in a line, without the line of code that it comes from."""
    print(f"{prog}: warning: {' '.join(str(message).split())}", file=sys.stderr)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt` and `Terminated` in the block, between its imports.

    Libraries catch whatever is raised while they are imported, to do without a part of themselves. So a
    signal that comes then is sent again every moment, until it can be obeyed. In other threads nothing
    changes, nor for a signal that somebody else has taken.
    """
    around, again = _imports(sys._getframe()), dict[int, threading.Timer]()
    ours: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = {number: handler for number, handler in ours.items() if signal.getsignal(number) is handler}

    def send(number: int) -> None:
        del again[number]
        if hasattr(signal, "pthread_kill"):  # wakes the thread too, where it waits for something
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        else:
            signal.raise_signal(number)

    def stop(number: int, frame: FrameType | None) -> None:
        if _imports(frame) > around:
            if number not in again:
                again[number] = threading.Timer(_MOMENT, send, (number,))
                again[number].daemon = True
                again[number].start()
            return
        forget()
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def forget() -> None:
        for timer in again.values():
            timer.cancel()

    if threading.current_thread() is not threading.main_thread():
        ours = {}
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        forget()
        for number, handler in ours.items():
            signal.signal(number, handler)


def _imports(frame: FrameType | None) -> int:
    """Return how many imports are under way where a frame stands."""
    files = (at.f_code.co_filename for at, _ in traceback.walk_stack(frame))
    return sum(file == "<frozen importlib._bootstrap>" for file in files)


def _report_stop(prog: str, stop: KeyboardInterrupt) -> int:
    """Say in a line that a command was stopped and how to go on; return its exit status.

    Who knows what was kept has put how to go on into a note of the exception (`add_note`).
    """
    by_signal = isinstance(stop, Terminated)
    how = getattr(stop, "__notes__", None) or ["the same command begins anew"]
    print(f"\n{prog}: {'terminated' if by_signal else 'interrupted'}; {how[0]}", file=sys.stderr)
    return TERMINATED if by_signal else INTERRUPTED


def _leave(status: int) -> NoReturn:
    """End the process at once, without waiting for threads whose results nobody wants any more."""
    others = {thread for thread in threading.enumerate() if not thread.daemon} - {threading.main_thread()}
    if others:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
