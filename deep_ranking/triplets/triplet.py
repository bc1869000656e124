"""A triplet of images."""

from typing import NamedTuple

from deep_ranking.shown import shown


class Triplet(NamedTuple):
    """Query, positive and negative: the query is more similar to the positive than to the negative.

    Each is the path of an image, relative to the root of its data set with `/` between folders, or absolute.
    Source: Wang et al. 2014, section 3.

    Example:
        >>> Triplet("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg").negative
        'dogs/1.jpg'
    """

    query: str
    positive: str
    negative: str

    def _repr_html_(self) -> str:
        return shown(self)
