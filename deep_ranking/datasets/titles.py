"""What classes are called, where their folders' names are codes."""

import os
from pathlib import Path


def class_titles(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return class -> title from the `classes.tsv` in a folder of classes or beside it; `{}` where none is.

    A line is the class, a tab and its words; of several, separated by commas, the first is the title.

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
            rows = [line.partition("\t") for line in lines]
            return {name: words.partition(",")[0].strip() or name for name, _, words in rows if name}
    return {}
