"""Finding the images of a folder, one sub-folder a class."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import is_image


def find_images(folder: str | os.PathLike[str], on_skip: Callable[[str], None] | None = None) -> list[str]:
    """Return the images below a folder, as sorted paths relative to it with `/` between folders.

    A file counts by its content, not by its ending. Hidden files and folders are passed over; a link to a
    folder is not followed, so a loop of links cannot trap the search.

    Args:
        folder: where to look.
        on_skip: called with the relative path of each file that is no image or cannot be opened.

    Raises:
        DeepRankingError: the folder is missing or is not a folder.
        OSError: a folder below it cannot be listed.
    """
    root = os.fspath(folder)
    if not Path(root).is_dir():
        found = "a file" if Path(root).exists() else "nothing"
        raise DeepRankingError(f"{root}: expected a folder of images, found {found}; check the path")
    images = []
    for directory, folders, files in os.walk(root, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(directory, root)
        prefix = "" if relative == "." else relative.replace(os.sep, "/") + "/"
        for name in files:
            if name.startswith("."):
                continue
            readable = False
            with suppress(OSError):
                readable = is_image(os.path.join(directory, name))  # noqa: PTH118 - Path costs a third of the walk
            if readable:
                images.append(prefix + name)
            elif on_skip is not None:
                on_skip(prefix + name)
    return sorted(images)


def _raise(error: OSError) -> None:
    raise error  # os.walk on its own passes over a folder that it cannot list: a class would be gone unseen


def find_classes(
    folder: str | os.PathLike[str], on_skip: Callable[[str], None] | None = None
) -> dict[str, list[str]]:
    """Return the images of each class: a class is a sub-folder of `folder`, its images all those below it.

    Paths are relative to `folder`. Images that lie in `folder` itself belong to no class and are left out;
    `on_skip` is told of them, and of the files in class folders that are no images, but not of a README or a
    table beside the class folders.

    Raises:
        DeepRankingError: the folder is missing, or no sub-folder holds an image.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "red").mkdir()
        ...     Image.new("RGB", (4, 4), "red").save(Path(root) / "red/1.png")
        ...     find_classes(root)
        {'red': ['red/1.png']}
    """
    classes: dict[str, list[str]] = {}
    report = on_skip or (lambda path: None)
    for image in find_images(folder, lambda path: report(path) if "/" in path else None):
        name, below, _ = image.partition("/")
        if below:
            classes.setdefault(name, []).append(image)
        else:
            report(image)
    if not classes:
        raise DeepRankingError(
            f"{os.fspath(folder)}: expected one sub-folder a class with images in it, found none; "
            "put each class's images into a folder of its own, or draw a small set with: "
            "deep-ranking prepare demo --output dataset"
        )
    return classes
