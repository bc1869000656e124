"""What an extra of pip brings: found here by name, imported by nobody in the core.

Each entry is a module below this package, or `module:name`; `load` imports it when it is asked for.
"""

import importlib
from typing import Any

STORES = {
    "postgres": "postgres.store:PostgresStore",
    "postgresql": "postgres.store:PostgresStore",
    "ray": "ray.sharded:ShardedStore",
}
"""The stores by the scheme of their place."""

COMMANDS = {"features": "handmade.features_command", "golden": "handmade.golden_command"}
"""The commands of `deep-ranking` that the core does not have."""

EMBEDDERS = {"ray": "ray.index_command"}
"""Other ways in which `deep-ranking index` embeds, by the flag that chooses them."""


def load(entry: str) -> Any:
    """Return what an entry names."""
    module, _, name = entry.partition(":")
    found = importlib.import_module(f"{__name__}.{module}")
    return getattr(found, name) if name else found
