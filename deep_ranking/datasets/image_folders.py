"""Folders of images whose folders say class, part and group: which level says what is asked, not guessed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from deep_ranking.datasets.rows import Options, Row
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import SPLITS, Found, look_into

_WORDS = ("class", "split", "group", "*")
_UNLABELLED = {"_unlabeled", "_unlabelled", "unlabelled", "unlabeled"}
_LEVELS = "say what the folders are with --levels"


def read_folder(source: Path, options: Options) -> Iterator[Row]:
    """Yield the images of a folder; `levels` says what each folder on the way to one is.

    `split/class` is `train/cat/1.jpg`; `*` is any number of folders that say nothing. Without it, each image
    has to lie in one folder, its class.

    Raises:
        DeepRankingError: the folders leave it open, or `levels` is none.
    """
    found = look_into(source, containers=False)
    if not found.images:
        raise DeepRankingError(f"{source}: expected images in folders, found none; check the path")
    levels = (options.levels or _only_level(source, found)).strip("/").split("/")
    if not set(levels) <= {*_WORDS} or any(levels.count(word) > 1 for word in levels):
        raise DeepRankingError(f"--levels: expected {', '.join(_WORDS)}, each once, found {options.levels!r}")
    for path, why in found.left_out.items():
        yield Row(path, why=why)
    for path in found.images:
        folders = path.split("/")[:-1]
        about = _meaning(folders, levels)
        if about is None:
            yield Row(path, why=f"not at the level of --levels {'/'.join(levels)}")
            continue
        label = about.get("class", "")
        yield Row(
            path,
            source / path,
            path.rpartition("/")[2],
            "" if label.lower() in _UNLABELLED else label,
            about.get("split", ""),
            about.get("group", ""),
        )


def _meaning(folders: list[str], levels: list[str]) -> dict[str, str] | None:
    if "*" in levels:
        star, missing = levels.index("*"), len(folders) - len(levels) + 1
        if missing < 0:
            return None
        levels = [*levels[:star], *["*"] * missing, *levels[star + 1 :]]
    return dict(zip(levels, folders, strict=True)) if len(levels) == len(folders) else None


def _only_level(source: Path, found: Found) -> str:
    """Return `class` where each image lies in one folder, and that looks like no part of a data set."""
    first: dict[int, str] = {}
    for path in found.images:
        first.setdefault(path.count("/"), path)
    depths = Counter(path.count("/") for path in found.images)
    names = {path.split("/")[0].lower() for path in found.images if "/" in path} - _UNLABELLED
    as_splits = bool(names) and names <= SPLITS and (len(names) > 1 or set(depths) == {2})
    if set(depths) == {1} and not as_splits:
        return "class"
    some = "; ".join(f"{depths[d]:,} in {d} folders, as {first[d]}" for d in sorted(depths))
    if as_splits:
        parts = " and ".join(f"{name}/" for name in sorted(names))
        how = (
            "parts: --levels split/class; classes: --levels class/*" if max(depths) > 1 else "--levels class"
        )
        raise DeepRankingError(
            f"{source}: expected one folder a class, found {parts} ({some}), named as a data set's parts; "
            f"{how}"
        )
    raise DeepRankingError(
        f"{source}: expected each image in one folder, its class, found {some}; {_LEVELS}: '*/class' is the "
        "folder that it lies in, 'class/*' the first, 'split/class' part and class, and "
        "'class' leaves out what lies elsewhere"
    )
