"""What a search can be asked for, and what it answers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.approximate import KINDS, Kind


@dataclass(frozen=True)
class Hit:
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
        for name in ("within", "beyond"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise DeepRankingError(f"{name}: expected a distance of 0 or more, found {value}")
        if self.label == ():
            raise DeepRankingError("label: expected a label or several, found none")
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
        if self.probe is not None and self.probe < 1:
            raise DeepRankingError(f"probe: expected 1 or more, found {self.probe}")


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
