"""Learning from the ratings: how the index is searched, before and after, and taken back."""

from anyio import move_on_after, sleep
from fastapi import APIRouter, Response

from deep_ranking.errors import DeepRankingError
from deep_ranking.learning.learn import FEWEST, FIRST_MODEL, forget, teach
from deep_ranking.ratings.export import Judgements, tally
from deep_ranking.search import Index
from deep_ranking.search.stores.registry import folder_of
from deep_ranking.web import schema
from deep_ranking.web.behind import Made
from deep_ranking.web.gallery import Gallery
from deep_ranking.web.problems import Problem
from deep_ranking.web.site import At, Site

router = APIRouter(prefix="/lesson", tags=["ratings"])

_WAITS, _LOOKS = 10.0, 0.02
"""Seconds that an answer waits for what is learned, and how often it looks."""

_SHOWN = 8
"""Nearest images that a search is shown by, before and after."""

_LOOKED_AT = 20  # queries that were rated last, of which the one whose search changed most is shown


@router.get("")
async def lesson(site: At) -> schema.Lesson:
    """Tell how many answers there are to learn from, and what was learned."""
    return await site.workers("disk", _lesson, site)


@router.post("")
async def learn(site: At, response: Response) -> schema.Learned:
    """Learn from all ratings how the index is searched; nothing changes if no answer is ranked better so.

    202 with `learning` if it takes longer; `outcome` tells then what it came to. There is one at a time.
    """
    await site.workers("disk", site.ratings.count)  # ratings that cannot be read are told as such
    if site.lesson is None or site.lesson.done:
        made = site.lesson = Made()
        site.workers.begin("learn", lambda: made.fill(lambda _: made.be(_learn(site))))
    return await _outcome(site, site.lesson, response)


@router.get("/outcome")
async def outcome(site: At, response: Response) -> schema.Learned:
    """Tell what the last learning came to; 202 while it goes on."""
    if site.lesson is None:
        raise Problem(
            404, "Nothing was learned since the server was started, or it was taken back.", "nothing-learned"
        )
    return await _outcome(site, site.lesson, response)


async def _outcome(site: Site, made: Made[schema.Learned], response: Response) -> schema.Learned:
    with move_on_after(_WAITS):
        while not (made.done or site.workers.stopped):
            await sleep(_LOOKS)
    if site.workers.stopped:
        raise site.workers.ended()
    if not made.done:
        response.status_code = 202
        return schema.Learned(**dict(await site.workers("disk", _lesson, site)))
    if made.value is None:
        raise Problem(409, f"{made.problem}.", "nothing-learned")
    return made.value


@router.delete("")
async def take_back(site: At) -> schema.Lesson:
    """Search the index as it was made."""
    if site.lesson is not None and not site.lesson.done:
        raise Problem(409, "It is being learned from the answers now; take it back when that is done.")

    def work() -> schema.Lesson:
        try:
            with Index.open(site.settings.index) as index:
                forget(index)
        except DeepRankingError as error:
            raise Problem(409, f"{error}.", "nothing-learned") from None
        site.lesson = None  # whoever asks for its outcome now is told that there is none
        site.reload()
        return _lesson(site)

    return await site.workers("learn", work)


def _lesson(site: Site) -> schema.Lesson:
    answers = len(_judgements(site).triplets)
    learned = site.gallery.snapshot.learned
    possible = folder_of(site.settings.index) is not None
    return schema.Lesson(
        answers=answers,
        fewest=FEWEST,
        first_model=FIRST_MODEL,
        possible=possible,
        learning=site.lesson is not None and not site.lesson.done,
        learned=None if learned is None else schema.Gain.model_validate(learned.told),
    )


def _judgements(site: Site) -> Judgements:
    return Judgements.of(tally(site.ratings.stream()))


def _learn(site: Site) -> schema.Learned:
    earlier, judged = site.gallery, _judgements(site)
    with Index.open(site.settings.index) as index:
        found = teach(index, judged)
    site.reload()
    told = schema.Learned(**dict(_lesson(site)) | {"learning": False}, better=found.map is not None)
    queries = list(dict.fromkeys(reversed(judged.triplets[:, 0].tolist())))[:_LOOKED_AT]
    shown = [(path, _nearest(earlier, path), _nearest(site.gallery, path)) for path in queries]
    changed = [sum(a != b for a, b in zip(one, other, strict=False)) for _, one, other in shown]
    if max(changed, default=0):
        path, before, after = shown[changed.index(max(changed))]
        told.query = site.image_at(site.gallery, path)
        told.before, told.after = (
            [image for hit in hits if (image := site.image_at(site.gallery, hit)) is not None]
            for hits in (before, after)
        )
    return told


def _nearest(gallery: Gallery, path: str) -> list[str]:
    row = gallery.snapshot.row(path)
    if row is None:
        return []
    hits, _ = gallery.search(gallery.snapshot.matrix[row], _SHOWN, (), (row,), exact=True)
    return [hit.path for hit in hits]
