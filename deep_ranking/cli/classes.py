"""The classes of a folder as the commands that measure take them."""

import logging
import os

logger = logging.getLogger(__name__)


def classes_below(folder: str, root: str = "") -> dict[str, list[str]]:
    """Return class name -> its images, as `os.path.join(root, image)` opens them; warn of what is no image.

    Raises:
        DeepRankingError: the folder is missing, or no sub-folder holds an image.
    """
    from deep_ranking.images.find import find_classes

    skipped: list[str] = []
    classes = find_classes(folder, on_skip=skipped.append)
    if skipped:
        logger.warning("%s: %d files left out, no image of a class: %s", folder, len(skipped), skipped[0])
    return {
        name: [relative_name(os.path.join(folder, image), root) for image in images]  # noqa: PTH118
        for name, images in classes.items()
    }


def relative_name(path: str, root: str) -> str:
    """Return a path relative to a root, with `/` between folders; without a root, the path itself."""
    return os.path.relpath(path, root).replace(os.sep, "/") if root else path
