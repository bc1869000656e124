"""The triplet sampling layer: who is compared with whom. NumPy only, no Keras."""

import importlib
from typing import Any

__all__ = ["Triplet", "TripletFileError", "read_triplets", "write_triplets"]


def __getattr__(name: str) -> Any:
    """The settings here have no need of NumPy: what has is fetched when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.file"), name)
