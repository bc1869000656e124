"""What a search can be asked for, and what it answers."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from deep_ranking.errors import DeepRankingError, expect
from deep_ranking.search.approximate import KINDS, Kind


class Hit(NamedTuple):
    """An image found, its Euclidean distance to the query, and its label."""

    path: str
    distance: float
    label: str


@dataclass(frozen=True)
class Options:
    """Which images may be found, and how they are looked for.

    Args:
        label: only images with this label, or with one of these.
        folder: only images below this folder (relative to the folder of images, `/` between folders).
        within: only images at this distance or nearer.
        beyond: only images at this distance or farther.
        bottom: the farthest instead of the nearest.
        leave_self_out: leave out the query images, and byte-for-byte copies of them.
        approximate: None for exact search, or "clustered" or "hnsw".
        probe: how much an approximate search looks at; None for what was measured when it was built.

    Raises:
        DeepRankingError: a value out of range, or an approximate search for what only an exact one finds.

    Example:
        >>> Options(folder="cats", within=0.5).within
        0.5
    """

    label: str | tuple[str, ...] | None = None
    folder: str | None = None
    within: float | None = None
    beyond: float | None = None
    bottom: bool = False
    leave_self_out: bool = False
    approximate: Kind | None = None
    probe: int | None = None

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels that images may have, or None for any."""
        return (self.label,) if isinstance(self.label, str) else self.label

    def __post_init__(self) -> None:
        if isinstance(self.label, list):
            object.__setattr__(self, "label", tuple(self.label))
        if isinstance(self.folder, os.PathLike):
            object.__setattr__(self, "folder", os.fspath(self.folder))
        for name in ("within", "beyond"):
            value = getattr(self, name)
            distance = isinstance(value, int | float | np.number) and 0 <= float(value) < math.inf
            expect(name, value is None or distance, "a distance of 0 or more", value)
        if self.within is not None and self.beyond is not None:
            asked = f"{self.beyond} or more, as `beyond` asks for"
            expect("within", self.within >= self.beyond, asked, self.within)
        texts = isinstance(self.label, str | tuple) and all(isinstance(one, str) for one in self.label)
        expect("label", self.label is None or (texts and self.label != ()), "a label or several", self.label)
        expect("folder", isinstance(self.folder, str | None), "the path of a folder", self.folder)
        if self.approximate is None:
            if self.probe is not None:
                raise DeepRankingError("probe: it belongs to an approximate search; choose clustered or hnsw")
            return
        if self.approximate not in KINDS:
            raise DeepRankingError(
                f"approximate: expected one of {', '.join(KINDS)}, found {self.approximate!r}"
            )
        if self.bottom or self.beyond is not None:
            raise DeepRankingError(
                "an approximate search finds the nearest images only; leave `approximate` out for the "
                "farthest, or for those beyond a distance"
            )
        whole = isinstance(self.probe, Integral) and self.probe >= 1
        expect("probe", self.probe is None or whole, "1 or more", self.probe)


def chosen(k: int | None, options: Options | None, filters: Mapping[str, Any]) -> Options:
    """Return the options, whether given as such or by name, after a look at how many are asked for.

    Raises:
        DeepRankingError: both are given; a value that makes no sense.
    """
    if k is not None and not (isinstance(k, Integral) and k >= 1):
        raise DeepRankingError(f"expected 1 result or more to look for, found {k!r}")
    expect("options", isinstance(options, Options | None), "Options", options)
    if not filters:
        return options or Options()
    names = {field.name for field in fields(Options)}
    for name in filters:
        expect(name, name in names, f"one of {', '.join(sorted(names))}", name)
    expect("options", options is None, f"either Options or {', '.join(filters)}, not both", options)
    return Options(**filters)


class Results(list[Hit]):
    """A list of hits that a notebook shows as pictures, the query images before them.

    Args:
        hits: nearest first, or farthest first if so asked.
        folder: that the hits' paths are relative to; "" where the index does not know one.
        queries: the query images: absolute paths, or relative to `folder`; none for a vector.

    Example:
        >>> Results([Hit("a.jpg", 0.0, "")], "photos")
        [Hit(path='a.jpg', distance=0.0, label='')]
    """

    def __init__(self, hits: Iterable[Hit] = (), folder: str = "", queries: Sequence[str] = ()):
        super().__init__(hits)
        self.folder, self.queries = folder, tuple(queries)

    def _repr_html_(self) -> str:
        import deep_ranking  # what draws lies above; it is asked for by its public name, when a notebook asks

        html: str = deep_ranking.show(self)._repr_html_()
        return html
