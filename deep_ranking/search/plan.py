"""What an index has to do to follow a folder: the difference of two listings, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

Stamp = tuple[int, int]
"""Size in bytes and change time in ns; while both stay the same, a file is taken to be the same."""


@dataclass(frozen=True)
class Plan:
    """Paths by what has to be done with them; each path of either listing is in exactly one.

    Whether a new path is a rename or a copy is told by its content later, without embedding it again.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    vanished: tuple[str, ...]


def make_plan(stored: Mapping[str, Stamp], listed: Mapping[str, Stamp]) -> Plan:
    """Compare what is stored with what is listed now.

    Example:
        >>> make_plan({"a": (1, 5), "b": (1, 5), "c": (1, 5)}, {"b": (1, 5), "c": (1, 6), "d": (1, 5)})
        Plan(new=('d',), changed=('c',), unchanged=('b',), vanished=('a',))
    """
    both = [path for path in listed if path in stored]
    return Plan(
        new=tuple(path for path in listed if path not in stored),
        changed=tuple(path for path in both if stored[path] != listed[path]),
        unchanged=tuple(path for path in both if stored[path] == listed[path]),
        vanished=tuple(path for path in stored if path not in listed),
    )
