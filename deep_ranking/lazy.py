"""Names that a package fetches when they are first asked for, so that importing it costs nothing."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, table: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return what a package takes as its `__getattr__`, `__dir__` and `__all__`.

    Args:
        package: its name.
        table: public name -> the module below the package that has it, `module:name` where it is called
            otherwise there.

    Raises:
        AttributeError: by the first of them: a name that is not in the table, with the nearest that is.

    Example:
        >>> get, names, _ = lazy_names("deep_ranking", {"file_key": "files:path_key"})
        >>> get("file_key")("a.jpg"), names()
        (b'a.jpg', ['file_key'])
        >>> get("flie_key")
        Traceback (most recent call last):
        AttributeError: module 'deep_ranking' has no attribute 'flie_key'; did you mean 'file_key'?
    """

    def fetch(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{_nearest(name, table)}")
        module, _, there = table[name].partition(":")
        return getattr(importlib.import_module(f"{package}.{module}"), there or name)

    return fetch, lambda: sorted(table), list(table)


def names_by_module(modules: Mapping[str, str]) -> dict[str, str]:
    """Return the table of `lazy_names` from the names in each module; `own:public` is one that is renamed.

    Example:
        >>> names_by_module({"files": "written_whole path_key:file_key"})
        {'written_whole': 'files', 'file_key': 'files:path_key'}
    """
    table = {}
    for module, names in modules.items():
        for name in names.split():
            own, renamed, public = name.partition(":")
            table[public or own] = f"{module}:{own}" if renamed else module
    return table


def _nearest(name: str, table: Mapping[str, str]) -> str:
    if name.startswith("__"):  # Python itself asks for many of these
        return ""
    import difflib

    lower = {known.lower(): known for known in table}
    near = difflib.get_close_matches(name.lower(), lower, 1)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""
