"""What a search answers: the hits, and enough to show them."""

from collections.abc import Iterable, Sequence

from deep_ranking.search.options import Hit
from deep_ranking.shown import shown


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
        return shown(self)
