"""What the API takes and gives, by type."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from deep_ranking.ratings import Answer

MOST_QUERIES = 8

Count = Annotated[int, Field(ge=0)]
Id = Annotated[int, Field(ge=0, lt=1 << 53)]
"""An image's number; it stays the same as long as path and content do."""


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = Field(description="A sentence for people; it says what to do.")


class Image(BaseModel):
    """An image of the index; its size in pixels where it is known already."""

    id: Id
    path: str
    label: str | None
    width: Count | None
    height: Count | None
    bytes: Count | None = Field(description="Size of the file; null where the index does not know it.")
    modified: float | None = Field(description="When the file was changed: seconds since 1970, or null.")


class Health(BaseModel):
    """That the server is alive."""

    status: Literal["ok"] = "ok"
    version: str
    images: Count
    dimension: Count
    uptime_s: float


class LabelCount(BaseModel):
    """A label, and how many images have it."""

    label: str
    count: Count


class Folder(BaseModel):
    """A folder below that of the images, and how many images lie in and below it."""

    folder: str
    count: Count


class About(BaseModel):
    """What is in the index, and what can be asked."""

    name: str
    folder: str | None = Field(description="Of the images; null where others than this machine may ask.")
    folder_there: bool = Field(description="False where it cannot be opened now, as of a disk taken away.")
    images: Count
    dimension: Count
    labels: list[LabelCount]
    folders: list[Folder] = Field(description="The outer ones first, 3,000 at most.")
    uploads: bool = Field(
        description="A model is loaded, so images that are not in the index can be searched."
    )
    loading: bool = Field(description="The model is being loaded; an upload waits for it.")
    approximate: bool = Field(description="Approximate search is installed, and of use for so many images.")
    model: str | None
    largest_upload: Count = Field(description="Bytes that an upload may have.")


class Page(BaseModel):
    """A part of a list."""

    total: Count
    offset: Count
    limit: Count


class Images(Page):
    """A page of a list of images, in order of their paths."""

    items: list[Image]


class Uploaded(BaseModel):
    """An upload, which is forgotten when many others have come, or the server ends."""

    upload: str
    width: Count
    height: Count


class SearchQuery(BaseModel):
    """What to search by (images and uploads, or one path), and which results to give.

    By several, the nearest to their middle come first: those whose squared distances to all add up to least.
    """

    model_config = ConfigDict(extra="forbid")

    image: list[Id] = Field([], max_length=MOST_QUERIES)
    upload: list[Annotated[str, Field(max_length=64)]] = Field([], max_length=MOST_QUERIES)
    path: str | None = Field(None, max_length=4096)
    top: int = Field(24, ge=1, le=500)
    bottom: int = Field(0, ge=0, le=500)
    offset: int = Field(0, ge=0, le=100_000)
    label: list[str] = Field([], max_length=100)
    folder: str | None = Field(None, max_length=4096)
    exact: bool = True


class Subject(BaseModel):
    """What was searched by, or one side of a comparison: an image of the index, or an upload."""

    image: Image | None
    upload: str | None


class Result(BaseModel):
    """An image found, and its Euclidean distance to the query."""

    rank: int = Field(ge=1)
    distance: float
    image: Image


class Results(BaseModel):
    """What a search found; the query itself is not among it."""

    query: Subject = Field(description="The first of the queries.")
    queries: list[Subject]
    exact: bool = Field(description="All images were compared; false: probably the nearest.")
    took_ms: float
    total: Count = Field(description="Images that the labels allow.")
    results: list[Result]
    bottom: list[Result] = Field(description="The farthest, the farthest first.")


class Histogram(BaseModel):
    """Distances of pairs of the index."""

    edges: list[float]
    counts: list[int]
    pairs: Count


class Comparison(BaseModel):
    """How near two images are."""

    a: Subject
    b: Subject
    distance: float
    closer_than: float | None = Field(
        ge=0, le=1, description="Share of the pairs of the index that are farther; null: ask again."
    )
    histogram: Histogram | None = Field(description="Null while the pairs are being measured; ask again.")


class Copy(BaseModel):
    """An image of a group: whether it is the one to keep, and why; what it is of that, if it is not."""

    image: Image
    distance: float
    keep: bool
    why: str
    format: str


class Group(BaseModel):
    """Images that are copies of one picture, the one to keep first."""

    keep: str
    won: Count = Field(description="Bytes that the others take.")
    images: list[Copy]


class Duplicates(Page):
    """A page of the groups of near-duplicates, the largest first. Nothing is ever deleted."""

    done: bool = Field(description="False while they are looked for; ask again.")
    problem: str | None = Field(description="Why they cannot be found.")
    seconds: float = Field(description="For how long they have been looked for.")
    gone: Count = Field(
        description="Images whose files are not as they were indexed: by equal vectors alone."
    )
    images: Count
    won: Count
    items: list[Group]


class Offered(BaseModel):
    """A distance within which a share of the images have another one."""

    within: float
    share: float


class Offers(BaseModel):
    """Distances worth asking for."""

    done: bool = Field(description="False while they are being measured; ask again.")
    items: list[Offered]


class Cluster(BaseModel):
    """Images whose vectors lie together: the one in their middle, and the folder or label of most of them."""

    name: str | None
    image: Id
    count: Count


class Map(BaseModel):
    """Where each image lies on a plane; point i is image ids[i] at (x[i], y[i]).

    It has labels[label[i]], and is of clusters[cluster[i]].
    """

    method: Literal["neighbours", "PCA"] | None = Field(
        default=None, description="Null while there are no places."
    )
    done: bool = Field(description="False while better places are computed; ask again.")
    problem: str | None = Field(default=None, description="Why there are none.")
    clusters: list[Cluster] = []
    cluster: list[int] = []
    labels: list[str | None] = []
    ids: list[int] = []
    x: list[float] = []
    y: list[float] = []
    label: list[int] = []


class Question(BaseModel):
    """Which of a and b is more similar to the query?"""

    query: Image
    a: Image
    b: Image
    answered: Count
    remaining: int | None = Field(
        description="Questions left for this rater, at most; this one is among them."
    )


class NewRating(BaseModel):
    """An answer; the images by number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rater: str
    query: Id
    a: Id
    b: Id
    answer: Answer


class Rated(BaseModel):
    """A rating was kept."""

    id: int
    answered: Count


class Rating(BaseModel):
    """A rating; an image is null when it is no longer in the index."""

    id: int
    rater: str
    query: Image | None
    a: Image | None
    b: Image | None
    answer: Answer
    at: float = Field(description="Seconds since 1970.")


class Undone(Rating):
    """A rating that was taken back."""

    answered: Count


class Ratings(Page):
    """A page of ratings, in order of time."""

    items: list[Rating]


class RaterCount(BaseModel):
    """A rater, and how many ratings they gave."""

    rater: str
    ratings: Count


class TripletCounts(BaseModel):
    """Questions by how their answers agree."""

    rated: Count
    unanimous: Count
    disputed: Count


class RatingSummary(BaseModel):
    """The ratings in numbers."""

    ratings: Count
    raters: list[RaterCount]
    triplets: TripletCounts


class Gain(BaseModel):
    """What learning gained: shares of answers held out that are ranked right, with the 95% interval."""

    triplets: Count
    before: float
    after: float
    gain: float
    gain_low: float
    gain_high: float


class Lesson(BaseModel):
    """How much there is to learn from, and what was learned; null where the index is as it was made."""

    answers: Count = Field(description="Questions whose raters agree on an order.")
    fewest: Count
    first_model: Count
    possible: bool = Field(description="False where a server searches the index.")
    learning: bool = Field(description="It is being learned from them now.")
    learned: Gain | None


class Learned(Lesson):
    """What was learned now, and a search before and after it; null and empty where none is another."""

    better: bool = False
    query: Image | None = None
    before: list[Image] = []
    after: list[Image] = []
