"""A data set's folder, which is either whole or not there, and the titles of its classes."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import temporary_folder


@contextmanager
def folder_written_whole(output: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder; once the block ends without an error, what it holds stands at `output`.

    Where `output` is not there, the temporary folder beside it is renamed. Where it is, and holds nothing but
    a README.md and hidden files, the temporary folder is made inside (it may be a mounted disk) and what it
    holds moves up, one rename each; if one fails, all go back.

    Raises:
        DeepRankingError: `output` is a file, or a folder that holds something else already.
        WriteError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with folder_written_whole(Path(parent) / "new") as folder:
        ...         _ = (folder / "a.txt").write_text("whole")
        ...     print([p.name for p in Path(parent).rglob("*.txt")])
        ['a.txt']
    """
    check_free(output)
    target = Path(output).resolve()
    exists = target.exists()
    with temporary_folder(target / target.name if exists else target) as temporary:
        yield temporary
        check_free(output)  # another run may have filled it meanwhile
        if exists:
            _move_all(temporary, target)
        else:
            temporary.rename(target)


def check_free(output: str | os.PathLike[str]) -> None:
    """Refuse a folder that holds more than a README.md and hidden files.

    Raises:
        DeepRankingError: `output` is a file, or a folder that holds something else already.
    """
    name, target = os.fspath(output), Path(output)
    if target.exists() and not target.is_dir():
        raise DeepRankingError(f"{name}: expected a folder to write into, found a file; choose another name")
    taken = [] if not target.exists() else sorted(entry.name for entry in target.iterdir())
    taken = [entry for entry in taken if not entry.startswith(".") and entry != "README.md"]
    if taken:
        raise DeepRankingError(
            f"{name}: expected an empty folder, found {taken[0]!r}"
            + (f" and {len(taken) - 1} more" if len(taken) > 1 else "")
            + "; nothing is overwritten: remove them, or choose another --output"
        )


def class_titles(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return class -> title from the `classes.tsv` in a folder of classes or beside it; `{}` where none is.

    A line is the class, a tab and its words; of WordNet's synonyms, separated by commas, the first is the
    title, if it is one class's alone.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = (Path(root) / "classes.tsv").write_text("n01443537\\tgoldfish, Carassius auratus\\n")
        ...     class_titles(Path(root) / "train")
        {'n01443537': 'goldfish'}
    """
    root = Path(folder).resolve()
    for table in (root / "classes.tsv", root.parent / "classes.tsv"):
        if table.is_file():
            lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
            words = {name: rest.strip() or name for name, _, rest in (line.partition("\t") for line in lines)}
            synsets = [name for name in words if re.fullmatch(r"n\d{8}", name)]
            first = {name: words[name].partition(",")[0].strip() or name for name in synsets}
            often = Counter((words | first).values())
            alone = {name: title for name, title in first.items() if often[title] == 1}
            return {name: title for name, title in (words | alone).items() if name}
    return {}


def _move_all(source: Path, target: Path) -> None:
    moved: list[Path] = []
    try:
        for entry in sorted(source.iterdir()):
            moved.append(entry.rename(target / entry.name))
    except BaseException:
        for entry in moved:
            entry.rename(source / entry.name)
        raise
