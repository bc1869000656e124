"""The package's door: names that are fetched when first asked for, and what Keras is told when it arrives."""

import importlib
import importlib.util
import sys
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


_WITH_KERAS_CLASSES = "network.layers", "ranking.loss", "ranking.mining", "ranking.metrics", "ranking.proxies"


def register_with_keras() -> None:
    """Let `keras.models.load_model` find our classes, whether Keras is imported already or will be."""
    if "keras" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


def _register() -> None:
    for module in _WITH_KERAS_CLASSES:
        importlib.import_module(f"deep_ranking.{module}")


class _AfterKeras:
    """An import finder that waits for `import keras`, lets it finish, then imports our classes."""

    _looking = False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "keras":
            return None
        # Keras may be looked for without being imported, so this stays until it is; the search below must
        # not come back here.
        if self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec("keras")
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            run_keras = spec.loader.exec_module

            def run_keras_then_register(module: Any) -> None:
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                run_keras(module)
                _register()

            spec.loader.exec_module = run_keras_then_register  # type: ignore[method-assign]
        return spec
