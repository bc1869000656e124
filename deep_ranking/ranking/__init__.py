"""The ranking layer: distances between embeddings and the losses on them. It does not know the network."""

import importlib
from typing import Any

MINING = ("all", "semi-hard", "hard")
"""Which triplets of a batch count; see `mining.mined`."""

_EXPORTS = {"TripletHingeLoss": "loss", "DISTANCES": "distances", "register_distance": "distances"}
__all__ = ["DISTANCES", "MINING", "TripletHingeLoss", "register_distance"]


def __getattr__(name: str) -> Any:
    """Keras takes seconds to import: what needs it is fetched when it is asked for."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
