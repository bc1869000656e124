"""Standard input, output and error as a command finds them: perhaps closed, perhaps of few letters."""

import codecs
import os
import sys


def open_streams() -> None:
    """Lead the standard streams that are closed, as they may be under cron or in a daemon, to nowhere.

    Else files that are opened later would take their numbers, and what libraries write to standard error
    would go into them; and `print` would write to standard output what is for a standard error of None.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def codec_errors() -> str:
    """Return the name of how text is written whose letters the output's encoding lacks.

    A file name that is no UTF-8 goes out as it came in; another letter as Python would escape it.

    Example:
        >>> "caf\\udce9 \\u65e5".encode("latin-1", codec_errors())
        b'caf\\xe9 \\\\u65e5'
    """
    codecs.register_error(_NAME, _escaped)
    return _NAME


_NAME = "deep_ranking.escaped"


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return letter.encode("ascii", "backslashreplace").decode(), error.start + 1
