"""The command line: one file a command; parse first, import the heavy things after.

A command is a module with `add_arguments(parser)` and `run(args)`. The commands are listed here by name,
so that `--help` imports none of them. Stopped by Ctrl-C or SIGTERM, a command tidies up and says so.
"""

import argparse
import importlib
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FrameType, ModuleType
from typing import NoReturn

from deep_ranking import __version__
from deep_ranking.cli.shared import add_quiet
from deep_ranking.cli.streams import codec_errors, open_streams
from deep_ranking.errors import DeepRankingError, one_line, reason

COMMANDS = {
    "prepare": "draw or unpack a data set",
    "sample": "write a triplet file from a folder of classes",
    "train": "learn a network from triplets",
    "blend": "make a network from rated triplets, its backbone frozen",
    "similarity": "print the distance between two images",
    "evaluate": "measure how well images are ranked, beside baselines",
    "report": "write a page with pictures on a model, to open offline",
    "export": "write a model for another runtime",
    "features": "describe images by a hand-made feature of the paper",
    "golden": "weigh features by triplets that people rated",
    "index": "embed a folder of images, to search it",
    "search": "find the images nearest to an image",
    "duplicates": "list images that are alike or the same",
    "serve": "open a local page to search, compare, rate and see a map",
    "ratings": "write what people rated on the page as triplets",
}

DONE, FAILED, USAGE = 0, 1, 2
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
    commands, statuses = (
        "\n".join(f"  {name:<{width}}{text}" for name, text in table.items())
        for table in (COMMANDS, STATUSES)
    )
    parser = argparse.ArgumentParser(
        prog="deep-ranking",
        description="Learn what is similar in your images, then compare, search and evaluate.",
        epilog=f"commands:\n{commands}\n\nexit status:\n{statuses}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"deep-ranking {__version__}")
    add("command", metavar="COMMAND", choices=COMMANDS, help="one of those below; COMMAND --help says more")
    command = parser.parse_args(argv[:1]).command
    return run_command(command, argv[1:], prog=f"deep-ranking {command}")


def run_command(command: str, argv: Sequence[str], prog: str) -> int:
    """Parse `argv` for one command, run it, and turn its errors into a message and an exit status."""
    open_streams()
    try:
        with warnings.catch_warnings(), _sigterm_raises():
            warnings.showwarning = partial(_show_warning, prog)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata is not the user's concern
            _run(command, argv, prog)
        return DONE
    except KeyboardInterrupt as stop:
        return _report_stop(prog, stop)
    except BrokenPipeError:  # `... | head` closed its end; nobody is left to read an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
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


def _run(command: str, argv: Sequence[str], prog: str) -> None:
    module = command_module(command)
    parser = argparse.ArgumentParser(
        prog=prog, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    add_quiet(parser)
    args = parser.parse_args(argv)
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
    sys.stdout.flush()  # here, where a closed pipe can still be told


def _in_one_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = one_line(record.getMessage()), None
    return True


def _show_warning(prog: str, message: Warning | str, *where: object) -> None:
    """Show a warning in a line, without the line of code that it comes from."""
    print(f"{prog}: warning: {' '.join(str(message).split())}", file=sys.stderr)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the block, in the main thread, where nobody else has taken it."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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
