"""People's ratings of triplets."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query, Response

from deep_ranking.errors import DeepRankingError
from deep_ranking.ratings import choose, tally
from deep_ranking.ratings.export import within
from deep_ranking.ratings.store import AnsweredError, Rating, check_rater
from deep_ranking.sqlite import StoreError
from deep_ranking.triplets.file import triplet_line
from deep_ranking.web import schema
from deep_ranking.web.gallery import Gallery
from deep_ranking.web.problems import Problem
from deep_ranking.web.site import At, Site, row_of

router = APIRouter(prefix="/ratings", tags=["ratings"])

Rater = Annotated[str, Query(max_length=200, description="Who rates.")]


@router.get("/question")
async def question(
    site: At,
    rater: Rater,
    skip: Annotated[int, Query(ge=0, le=9, description="Look so many questions ahead.")] = 0,
) -> schema.Question:
    """Choose what to ask a rater next; the same until it is answered."""
    _check(rater)
    return await site.workers("search", _question, site, site.gallery, rater, skip)


@router.post("", status_code=201)
async def rate(site: At, rating: schema.NewRating) -> schema.Rated:
    """Keep an answer for good."""
    gallery = site.gallery
    rows = [row_of(gallery, number) for number in (rating.query, rating.a, rating.b)]
    query, a, b = (gallery.snapshot.images[row].path for row in rows)
    try:
        number = await site.workers("disk", site.ratings.add, rating.rater, query, a, b, rating.answer)
    except AnsweredError as error:
        raise Problem(409, f"{error}.", "already-answered") from None
    except StoreError:
        raise  # a DeepRankingError, but none of the client's making
    except DeepRankingError as error:
        raise Problem(422, f"{error}.") from None
    return schema.Rated(id=number, answered=await site.workers("disk", site.ratings.count, rating.rater))


@router.delete("/last")
async def undo(site: At, rater: Rater) -> schema.Undone:
    """Take a rater's last answer back, and return it."""
    _check(rater)
    undone = await site.workers("disk", site.ratings.undo, rater)
    if undone is None:
        raise Problem(404, "There is no answer to take back.", "nothing-to-undo")
    described = _described(site, site.gallery, undone)
    return schema.Undone(**dict(described), answered=await site.workers("disk", site.ratings.count, rater))


@router.get("")
async def list_ratings(
    site: At,
    rater: Annotated[str | None, Query(max_length=200)] = None,
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 60,
) -> schema.Ratings:
    """List ratings, in order of time, of one rater or of all."""
    gallery = site.gallery
    found = await site.workers("disk", site.ratings.ratings, rater, offset, limit)
    total = await site.workers("disk", site.ratings.count, rater)
    items = [_described(site, gallery, rating) for rating in found]
    return schema.Ratings(total=total, offset=offset, limit=limit, items=items)


@router.get("/summary")
async def summary(site: At) -> schema.RatingSummary:
    """Count ratings, by rater and by how they agree."""
    ratings = await site.workers("disk", site.ratings.ratings)
    of_each = Counter(rating.rater for rating in ratings)
    counted = tally(ratings)
    return schema.RatingSummary(
        ratings=len(ratings),
        raters=[schema.RaterCount(rater=name, ratings=count) for name, count in of_each.most_common()],
        triplets=schema.TripletCounts(
            rated=len(counted.preferences), unanimous=len(counted.unanimous()), disputed=counted.disputed
        ),
    )


@router.get("/export", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def export(site: At, min_raters: Annotated[int, Query(ge=1, le=1000)] = 1) -> Response:
    """Return the triplets that all their raters agree on, as a file that train.py takes; 404 if none."""
    ratings = await site.workers("disk", site.ratings.ratings)
    paths = (image.path for image in site.gallery.snapshot.images)
    lines = [*map(triplet_line, within(tally(ratings).unanimous(min_raters), paths))]
    if not lines:
        detail = f"No question has {min_raters} or more raters who all prefer the same image; rate more."
        raise Problem(404, detail, "nothing-to-export")
    return Response(
        "".join(lines).encode("utf-8", "surrogateescape"),
        media_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="triplets.txt"'},
    )


def _question(site: Site, gallery: Gallery, rater: str, skip: int) -> schema.Question:
    if len(gallery) < 3:
        kind = "too-few-images" if len(gallery) else "empty-index"
        raise Problem(404, "A question takes three images; put more into the index.", kind)
    chosen = choose(gallery.snapshot, site.ratings.stream(), rater, site.settings.seed, skip)
    if chosen is None:
        raise Problem(404, "No question is left for this rater; index more images.", "no-question-left")
    query, a, b = (site.image(gallery, row) for row in (chosen.query, chosen.a, chosen.b))
    answered = site.ratings.count(rater)
    return schema.Question(query=query, a=a, b=b, answered=answered, remaining=chosen.remaining)


def _described(site: Site, gallery: Gallery, rating: Rating) -> schema.Rating:
    query, a, b = (site.image_at(gallery, path) for path in (rating.query, rating.a, rating.b))
    return schema.Rating(**{**rating._asdict(), "query": query, "a": a, "b": b})


def _check(rater: str) -> None:
    try:
        check_rater(rater)
    except DeepRankingError as error:
        raise Problem(422, f"{error}.") from None
