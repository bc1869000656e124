"""The formats of judgements that exist, one line each, and what has to be said of a file to read it.

Imports nothing heavy, so that `ratings --help` is instant. What is known of each format, and from where,
stands in docs/judgements.md.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from deep_ranking.settings import SEED, Check, Settings, at_least, setting

Policy = Literal["unanimous", "majority", "all"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
"""What the answers to one question come to; see `ratings.export.Tally.agreed`."""


class Format(NamedTuple):
    """A format.

    Attributes:
        reader: function of `ratings.formats` or `ratings.published` that yields its judgements.
        about: for the help.
        needs: settings of `Reading` without which a file can be read in two ways.
        takes: other settings of `Reading` that it looks at.
    """

    reader: str
    about: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


_ITEMS = ("numbers_from", "items", "item_images", "seed")

FORMATS = {
    "triplets": Format("triplets", "query,positive,negative a line, as `export` writes"),
    "csv": Format("two_alternatives", "NIGHTS, and what `export` writes as .csv", takes=("columns",)),
    "odd-one-out": Format("odd_one_out", "THINGS: three a line, one of them odd", ("odd",), _ITEMS),
    "most-central": Format("most_central", "three a line, the most central first", takes=_ITEMS),
    "query-near-far": Format("query_near_far", "Food-100: query; near; far"),
    "ranks": Format("ranks", "query, the chosen, the others a line", ("chosen",), ("ranked", *_ITEMS)),
    "psiz": Format("psiz", "a folder of PsiZ: stimuli.txt and seq_*.json"),
    "pair-scores": Format("pair_scores", "csv of two images and a score", ("higher_is",), ("columns",)),
    "bapps": Format("bapps", "a folder with ref/, p0/, p1/ and judge/*.npy", takes=("votes",)),
    "fec": Format("fec", "Google's facial expressions"),
    "label-studio": Format("label_studio", "its JSON export of Pairwise", takes=("columns",)),
    "mturk": Format("mturk", "a batch's results as csv", takes=("columns",)),
}
"""By name; a reader is a generator of `Judgement` from a path and a `Reading`."""


@dataclass(frozen=True)
class Reading(Settings):
    """What has to be said of a file of judgements, beside its format; `ratings --help` says what each does.

    Raises:
        DeepRankingError: a value is out of its range.
    """

    odd: str | None = setting(
        None, "odd-one-out: which of the three is the odd one (THINGS: last)", choices=("first", "last")
    )
    higher_is: str | None = setting(
        None, "pair-scores: what a higher score means", choices=("similar", "different")
    )
    chosen: int | None = setting(
        None, "ranks: how many of the candidates were chosen; they come first", at_least(1), "K"
    )
    ranked: bool = setting(False, "ranks: the chosen are in order, the most similar first")
    columns: str | None = setting(
        None,
        "which columns (of label-studio: keys of data) have what: query=ref,left=a,right=b,answer=choice; "
        "also left_vote, right_vote, votes, rater, status; of pair-scores a, b, score",
        metavar="WHAT=COLUMN,...",
    )
    votes: int | None = setting(
        None, "bapps: people asked about each (default: 2 below a folder train, 5 below val)", at_least(1)
    )
    numbers_from: int | None = setting(
        None,
        "numbers are places, counted from 0 (THINGS) or 1, among the items: the folders of --images, or its "
        "images, by name",
        Check(lambda number: number in (0, 1), "0 or 1"),
    )
    items: str | None = setting(None, "the items, one a line, where they are others", metavar="FILE")
    item_images: str = setting(
        "first", "which image stands for an item that is a folder: {default}, by name; or drawn each time",
        choices=("first", "drawn"),
    )  # fmt: skip
    seed: int = setting(0, "of what is drawn (default: {default})", SEED)
