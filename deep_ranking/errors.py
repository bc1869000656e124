"""What the project raises when the input, not the code, is wrong."""


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
