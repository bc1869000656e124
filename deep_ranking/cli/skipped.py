"""What a command says of files that it passed over."""

import logging
from collections.abc import Sequence

logger = logging.getLogger(__name__)


def warn_of_skipped(files: Sequence[str]) -> None:
    """Say how many files are no images, if any, and name the first."""
    if files:
        logger.warning("%d files are no images and were left out, the first: %s", len(files), files[0])
