"""Settings: frozen dataclasses, each field of which says its default, its check and its help in one place.

From such a table the command line makes its flags (`cli.shared.add_settings`) and a new setting its check:

    @dataclass(frozen=True)
    class Cooking(Settings):
        minutes: int = setting(10, "how long (default: {default})", at_least(1))

What holds such a table imports nothing heavy, so that a `--help` that is made from it is instant.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

from deep_ranking.errors import expect

_NUMBERS: dict[str, type] = {str(int): Integral, str(float): Real}
_NUMBERS |= {str(int | None): Integral, str(float | None): Real}

_YES_OR_NO = str(bool), str(bool | None)

ENGINES = ("keras", "openvino")
"""What runs networks; `embedding.engines` makes them."""

WEIGHTS_VARIABLE = "DEEP_RANKING_WEIGHTS"
"""Names a file of MobileNetV2's weights for where they cannot be downloaded."""


class Check(NamedTuple):
    """What is expected of a value.

    Attributes:
        holds: says of a value whether it is so.
        expected: the same in words.
    """

    holds: Callable[[Any], bool]
    expected: str


def at_least(number: float) -> Check:
    """Return the check for that number or more."""
    return Check(lambda value: value >= number, f"{number} or more")


def up_to(number: float) -> Check:
    """Return the check for 0 to that number."""
    return Check(lambda value: 0 <= value <= number, f"a number of 0 to {number}")


POSITIVE = Check(lambda value: value > 0, "a number above 0")
FINITE = Check(lambda value: 0 < value < math.inf, "a finite number above 0")
BELOW_1 = Check(lambda value: 0 <= value < 1, "0 or more and below 1")
SHARE = Check(lambda value: 0 <= value <= 1, "a share of 0 to 1")
SEED = Check(lambda value: 0 <= value < 2**31, "0 or more and below 2^31")


def setting(
    default: Any = MISSING,
    help: str = "",
    check: Check | None = None,
    metavar: str | None = None,
    *,
    choices: Iterable[str] | None = None,
    group: str = "",
    flag: str | None = "",
    auto: bool = False,
) -> Any:
    """Return a field of `Settings`.

    Args:
        default: the value where none is given.
        help: of the flag; `{default}` stands for the default, `{blog}` for what the class's `blog()` has.
        check: what is expected of a value; None, as a default, is not checked.
        metavar: what the flag's value is called; N where left out of whole numbers.
        choices: the values there are, a collection or a registry that may grow.
        group: under which heading of the help the flag stands.
        flag: its name, where it is not the field's; None makes none.
        auto: the flag has the value "auto" besides, which is its default; what it comes to the command says.
    """
    about = {"help": help, "check": check, "choices": choices, "metavar": metavar}
    return field(default=default, metadata={**about, "group": group, "flag": flag, "auto": auto})


@dataclass(frozen=True)
class Settings:
    """The base of settings; makes the checks of its fields.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            check, choices = part.metadata.get("check"), part.metadata.get("choices")
            if value is None and part.default is None:
                continue
            if str(part.type) in _YES_OR_NO:
                expect(part.name, value in (True, False), "True or False", value)
            if check is not None:
                fits = isinstance(value, _NUMBERS.get(str(part.type), object))
                kind = "a whole number, " if not fits and isinstance(value, Real) else ""
                expect(part.name, fits and check.holds(value), kind + check.expected, value)
            if choices is not None:
                expect(part.name, value in choices, f"one of {', '.join(choices)}", value)

    def changed(self, given: dict[str, Any]) -> Self:
        """Return these settings, and those inside them, with the values given by name.

        None changes nothing, nor does the "auto" of a flag that has it besides.

        Example:
            >>> @dataclass(frozen=True)
            ... class Cooking(Settings):
            ...     minutes: int = setting(10, check=at_least(1))
            >>> Cooking().changed({"minutes": 3, "oven": True}).minutes, Cooking().changed({}).minutes
            (3, 10)
        """
        changes = {}
        for part in fields(self):
            own, value = getattr(self, part.name), given.get(part.name)
            if isinstance(own, Settings):
                changes[part.name] = own.changed(given)
            elif value is not None and not (value == "auto" and part.metadata.get("auto")):
                changes[part.name] = value
        return replace(self, **changes)
