"""How a command is told what to do: help that begins with examples, refusals of one line, the nearest word.

Flags and places may come in any order.
"""

import argparse
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

from deep_ranking.errors import DeepRankingError, one_line

USAGE = 2
"""The exit status where a command, a flag or its value is none."""


_LONGEST = 56  # characters of an example that is explained on its own line


class UsageError(DeepRankingError):
    """What was typed lacks something, or has too much of it; the exit status is `USAGE`."""


def nearest(word: str, known: Collection[str]) -> str:
    """Return a question after the known word that is nearest, or that begins most alike; "" where none is.

    Example:
        >>> nearest("serach", ["search", "serve"]), nearest("--inptu", ["--input_directory", "--gzip"])
        ("; did you mean 'search'?", "; did you mean '--input_directory'?")
        >>> nearest("x", ["search"])
        ''
    """
    import difflib

    bare = word.lstrip("-")
    found = {name.lstrip("-")[: len(bare)]: name for name in known} | {n.lstrip("-"): n for n in known}
    near = difflib.get_close_matches(bare, found, 1)
    return f"; did you mean {found[near[0]]!r}?" if near else ""


def _value_error(action: argparse.Action, wanted: str, found: Any, hint: str = "") -> argparse.ArgumentError:
    name = [*action.option_strings, action.metavar or action.dest][0]
    return argparse.ArgumentError(None, f"{name}: expected {wanted}, found {found!r}{hint}")


class Parser(argparse.ArgumentParser):
    """A parser whose help begins with examples and what matters most.

    Args:
        examples: what follows the command's name -> what it does.
        main: names of the flags that matter most; the others come below, in their groups.
        options: as of `argparse.ArgumentParser`.
    """

    def __init__(
        self, *, examples: Mapping[str, str] | None = None, main: Collection[str] = (), **options: Any
    ):
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **options})
        self.examples, self.main = examples or {}, main

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if not arg_string and action.dest != "label":  # as a path it would be the current folder
            raise _value_error(action, "a value", arg_string, "; is a variable of your shell empty?")
        try:
            return super()._get_value(action, arg_string)  # type: ignore[misc]
        except argparse.ArgumentError:
            wanted = "a whole number" if action.type is int else "a number"
            raise _value_error(action, wanted, arg_string) from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [*map(str, action.choices)]
            raise _value_error(action, f"one of {', '.join(known)}", value, nearest(str(value), known))

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and exit."""
        self.exit(USAGE, one_line(f"{self.prog}: error: {message} (see {self.prog} --help)") + "\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse flags and places in any order."""
        return (super().parse_args if self._subparsers else self.parse_intermixed_args)(args, namespace)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse, after a look for flags that there are not: they explain what else seems to be missing."""
        if args is not None:
            self._refuse_unknown(args)
        return super().parse_known_args(args, namespace)

    def _refuse_unknown(self, args: Sequence[str]) -> None:
        flags = self._option_string_actions
        for word in args:
            if word == "--" or (self._subparsers and not word.startswith("-")):  # what follows is another's
                return
            name = word.partition("=")[0]
            is_flag = re.match("--?[^-0-9. ][^ ]*$", name)  # as argparse has it: no number, no blank
            if is_flag and not any(flag.startswith(name) for flag in flags):
                self.error(f"{name}: no such flag{nearest(name, flags)}")

    def format_usage(self) -> str:
        """Return the line that shows in what order things are typed, without the flags."""
        if self.usage:
            return super().format_usage()
        places = [self._get_formatter()._format_args(a, a.dest) for a in self._places()]
        return f"usage: {' '.join([self.prog, *places, '[FLAGS]'])}\n"

    def format_help(self) -> str:
        """Return the usage, examples, the description, what matters most, and the rest in its groups."""
        formatter = self._get_formatter()
        command = f"python {self.prog}" if self.prog.endswith(".py") else self.prog
        typed = {f"{command} {rest}".strip(): about for rest, about in self.examples.items()}
        width = max((len(line) for line in typed if len(line) <= _LONGEST), default=0)
        below = f"\n{' ' * (width + 4)}"
        formatter.add_text(
            "\n".join(f"  {t:<{width}}{below if len(t) > width else '  '}{a}" for t, a in typed.items())
        )
        formatter.add_text(self.description)
        first = [a for a in self._actions if not a.option_strings or a.dest in self.main]
        groups: list[tuple[str | None, str | None, list[argparse.Action]]]
        groups = [("what matters most" if self.main else "what is given", None, first)]
        for group in [*self._action_groups[2:], *self._action_groups[:2]]:
            title = "more" if group.title == "options" and self.main else group.title
            groups.append((title, group.description, group._group_actions))
        shown: list[argparse.Action] = []
        for title, description, actions in groups:
            new = [action for action in actions if action not in shown]
            shown += new
            formatter.start_section(title)
            formatter.add_text(description if new else None)
            formatter.add_arguments(new)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return f"{self.format_usage()}\n{formatter.format_help()}"

    def _places(self) -> list[argparse.Action]:
        return [action for action in self._actions if not action.option_strings]
