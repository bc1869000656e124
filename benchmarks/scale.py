"""How much a benchmark measures: all of it, the quick part, or next to nothing."""

import argparse
from typing import Literal

Scale = Literal["full", "quick", "tiny"]


def parser(description: str | None, quick: str) -> argparse.ArgumentParser:
    """Return the parser of a benchmark: `--quick`, and `--tiny`, by which tests see that the script runs.

    Args:
        description: what the benchmark measures.
        quick: what the quick part leaves out; it ends in half a minute.
    """
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = made.add_mutually_exclusive_group()
    which.set_defaults(scale="full")
    which.add_argument("--quick", dest="scale", action="store_const", const="quick", help=quick)
    which.add_argument("--tiny", dest="scale", action="store_const", const="tiny", help=argparse.SUPPRESS)
    return made


def scale(description: str | None, quick: str) -> Scale:
    """Return which part the command line asks for."""
    return parser(description, quick).parse_args().scale
