"""What the package is made of, found in it and not listed here: a new part is checked without a word."""

import dataclasses
import importlib
import inspect
import pkgutil
from types import ModuleType

import deep_ranking


def modules(package: str) -> list[ModuleType]:
    """Import a package of ours with all that lies below it."""
    root = importlib.import_module(f"deep_ranking.{package}")
    below = pkgutil.walk_packages(root.__path__, root.__name__ + ".") if hasattr(root, "__path__") else ()
    return [root, *(importlib.import_module(info.name) for info in below)]


def classes(*packages: str) -> list[type]:
    """Return the classes defined below packages of ours, by name."""
    found = {
        kind
        for package in packages
        for module in modules(package)
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and not inspect.isabstract(kind)
    }
    return sorted(found, key=lambda kind: (kind.__name__, kind.__module__))


def checked_settings() -> list[type]:
    """Return the dataclasses that check their values, of all packages but those that need a server."""
    names = [info.name for info in pkgutil.iter_modules(deep_ranking.__path__) if info.ispkg]
    return [
        kind
        for kind in classes(*(name for name in names if name not in ("cli", "cluster")))
        if dataclasses.is_dataclass(kind) and hasattr(kind, "__post_init__")
    ]
