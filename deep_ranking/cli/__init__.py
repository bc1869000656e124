"""The command line: one file a command; parse first, import the heavy things after.

A command is a module with `add_arguments(parser)` and `run(args)`. The commands are listed here by name,
so that `--help` imports none of them.
"""

import argparse
import importlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from types import ModuleType
from typing import NoReturn

from deep_ranking import __version__
from deep_ranking.cli import running
from deep_ranking.errors import DeepRankingError, reason

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

STATUSES = {
    0: "done",
    1: "failed; standard error says why",
    2: "usage: the command or a flag is unknown, or its value is no number, no such choice",
    running.INTERRUPTED: "interrupted (Ctrl-C)",
    running.TERMINATED: "terminated (SIGTERM)",
}
"""What the exit status of a command says."""

DONE, FAILED = 0, 1


def entry() -> NoReturn:
    """Run the command line, and end the process with its exit status."""
    running.leave(main())


def script(command: str, prog: str) -> NoReturn:
    """Run one command under a name of its own, and end the process with its exit status."""
    running.leave(run_command(command, sys.argv[1:], prog))


def main(argv: Sequence[str] | None = None) -> int:
    """Run `deep-ranking COMMAND ...`, and return the exit status; `STATUSES` says what they mean."""
    argv = sys.argv[1:] if argv is None else list(argv)
    width = max(map(len, COMMANDS)) + 2
    parser = argparse.ArgumentParser(
        prog="deep-ranking",
        description="Learn what is similar in your images, then compare, search and evaluate.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<{width}}{text}" for name, text in COMMANDS.items())
        + "\n\nexit status:\n"
        + "\n".join(f"  {status:<{width}}{text}" for status, text in STATUSES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"deep-ranking {__version__}")
    parser.add_argument(
        "command", metavar="COMMAND", choices=COMMANDS, help="one of those below; COMMAND --help says more"
    )
    command = parser.parse_args(argv[:1]).command
    return run_command(command, argv[1:], prog=f"deep-ranking {command}")


def run_command(command: str, argv: Sequence[str], prog: str) -> int:
    """Parse `argv` for one command, run it, and turn its errors into a message and an exit status."""
    try:
        with warnings.catch_warnings(), running.sigterm_raises():
            warnings.showwarning = partial(_show_warning, prog)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # odd metadata is not the user's concern
            return _run(command, argv, prog)
    except KeyboardInterrupt as stop:
        return running.report_stop(prog, stop)


def command_module(command: str) -> ModuleType:
    """Return the module of a command, which may be one that an extra brings."""
    extras: dict[str, str] = importlib.import_module("deep_ranking.extras").COMMANDS
    own = f"extras.{extras[command]}" if command in extras else f"cli.{command}"
    return importlib.import_module(f"deep_ranking.{own}")


def _run(command: str, argv: Sequence[str], prog: str) -> int:
    module = command_module(command)
    parser = argparse.ArgumentParser(
        prog=prog, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress; warnings and errors still come")
    try:
        args = parser.parse_args(argv)
        logging.basicConfig(format=f"{prog}: %(levelname)s: %(message)s", level=logging.WARNING)
        for level in (logging.WARNING, logging.ERROR):
            logging.addLevelName(level, logging.getLevelName(level).lower())
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A file name that is not UTF-8 goes out as it came in.
            sys.stdout.reconfigure(errors="surrogateescape")
        from deep_ranking.progress import quietly

        with quietly(args.quiet):
            module.run(args)
        sys.stdout.flush()  # here, where a closed pipe can still be told
    except BrokenPipeError:  # `... | head` closed its end; nobody is left to read an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (DeepRankingError, OSError) as error:
        told = error if isinstance(error, DeepRankingError) else reason(error)
        print(f"{prog}: error: {told}", file=sys.stderr)
        return FAILED
    except Exception as error:
        # Each backend has an exception of its own for this; TensorFlow's goes by this name.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        print(f"{prog}: error: out of memory; take smaller batches, images or embeddings", file=sys.stderr)
        return FAILED
    return DONE


def _show_warning(prog: str, message: Warning | str, *where: object) -> None:
    """Show a warning in a line, without the line of code that it comes from."""
    print(f"{prog}: warning: {' '.join(str(message).split())}", file=sys.stderr)
