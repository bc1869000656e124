"""What the project raises when the input, not the code, is wrong."""

import os

_TURNS = [0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]  # right to left, and back
_CONTROLS = [*range(32), *range(127, 160), 0x2028, 0x2029, *_TURNS]
_ESCAPED = {code: repr(chr(code))[1:-1] for code in _CONTROLS}


class DeepRankingError(ValueError):
    """A problem the user can mend; the message says what was expected, what was found, what to do.

    The command line prints the message without a traceback and exits with 1.
    """


class MissingExtraError(DeepRankingError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'deep-ranking[{extra}]'"
        )
        self._made_of = package, extra, purpose

    def __reduce__(self) -> tuple:  # it may come from another process
        return MissingExtraError, self._made_of


def expect(name: str, holds: bool, expected: str, found: object) -> None:
    """Raise a `DeepRankingError` that says what was expected of a setting, unless it holds.

    Example:
        >>> expect("gap", 0.2 > 0, "a number above 0", 0.2)
        >>> expect("gap", -1 > 0, "a number above 0", -1)
        Traceback (most recent call last):
        deep_ranking.errors.DeepRankingError: gap: expected a number above 0, found -1
    """
    if not holds:
        raise DeepRankingError(f"{name}: expected {expected}, found {found!r}")


def made_later(found: object, known: int) -> str:
    """Return what to do about a file whose layout a later version of this package made; "" of any other.

    Example:
        >>> made_later(3, 2)[:57], made_later("1", 2), made_later(None, 2)
        ('a later version of deep-ranking made it; nothing was chan', '', '')
    """
    number = str(found)
    if not (number.isdecimal() and number.isascii() and len(number) < 10 and int(number) > known):
        return ""
    return "a later version of deep-ranking made it; nothing was changed: install that version here too"


def one_line(text: str) -> str:
    """Return a text for people, with what would break its line or steer a terminal escaped.

    Example:
        >>> one_line("two" + chr(10) + "lines.jpg") == "two" + chr(92) + "nlines.jpg"
        True
    """
    return text.translate(_ESCAPED)


def some(count: int, thing: str) -> str:
    """Return a count of things in words.

    Example:
        >>> some(1, "epoch"), some(2000, "image")
        ('1 epoch', '2,000 images')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def reason(error: BaseException) -> str:
    """Return the first line of what another library says went wrong, or the error's kind if it says nothing.

    The system's errors are told without their number, after the file that they are about.

    Example:
        >>> reason(ValueError("no such layer\\nin a long listing")), reason(KeyError())
        ('no such layer', 'KeyError')
        >>> reason(PermissionError(13, "Permission denied", "a.txt"))
        'a.txt: Permission denied'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
