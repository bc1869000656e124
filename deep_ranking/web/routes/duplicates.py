"""Groups of near-duplicates, found behind; which to keep and why, as a list. Nothing is deleted."""

import csv
import io
import time
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from deep_ranking.files import path_key
from deep_ranking.search.duplicates import find_duplicates, is_as_indexed
from deep_ranking.search.groups import Group
from deep_ranking.web import schema
from deep_ranking.web.behind import Made
from deep_ranking.web.gallery import Gallery, shown
from deep_ranking.web.problems import Problem
from deep_ranking.web.site import At, Site

_Found = tuple[list[Group], int]

router = APIRouter(prefix="/duplicates", tags=["duplicates"])

Within = Annotated[
    float | None,
    Query(ge=0, le=1e6, allow_inf_nan=False, description="A distance; without it the pixels decide."),
]


@router.get("")
async def duplicates(
    site: At,
    within: Within = None,
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 20,
) -> schema.Duplicates:
    """List groups, the largest first; while they are looked for, `done` is false and there are none."""
    gallery, made = _made(site, within)
    done = made.done
    groups, gone = made.value or ([], 0)
    return schema.Duplicates(
        done=done,
        problem=made.problem,
        seconds=0 if done else round(time.monotonic() - made.began, 1),
        gone=gone,
        total=len(groups),
        offset=offset,
        limit=limit,
        images=sum(len(group.images) for group in groups),
        won=sum(group.won for group in groups),
        items=[_described(site, gallery, group) for group in groups[offset : offset + limit]],
    )


@router.get("/distances")
async def offered(site: At) -> schema.Offers:
    """List distances worth asking for: of a sample, a share of the images has another one so near."""
    made = site.usual(site.gallery)
    done = made.done  # first: what is done has its value
    items = [schema.Offered(within=within, share=share) for within, share in made.value or []]
    return schema.Offers(done=done, items=items)


@router.get("/export", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def export_groups(site: At, within: Within = None) -> Response:
    """Return a table of all groups (CSV): which image is to keep, which are not, and why."""
    _, made = _made(site, within)
    if not made.done:
        raise Problem(409, "The duplicates are being looked for; ask again when they are found.", "not-yet")
    data = io.BytesIO()
    file = io.TextIOWrapper(data, "utf-8", "surrogateescape", newline="")
    table = csv.writer(file)
    table.writerow(["group", "keep", "path", "why", "width", "height", "bytes"])
    for number, group in enumerate((made.value or ([], 0))[0], 1):
        for hit, about in zip(group.images, group.about, strict=True):
            kept = hit.path == group.keep
            why = group.reason if kept else about.why
            table.writerow(
                [number, "yes" if kept else "no", hit.path, why, about.width, about.height, about.bytes]
            )
    file.flush()
    name = {"Content-Disposition": 'attachment; filename="duplicates.csv"'}
    return Response(data.getvalue(), media_type="text/csv; charset=utf-8", headers=name)


def _made(site: Site, within: float | None) -> tuple[Gallery, Made[_Found]]:
    gallery = site.gallery
    return gallery, site.duplicates((gallery.key, within), partial(_find, gallery, within))


def _find(gallery: Gallery, within: float | None, made: Made[_Found]) -> None:
    folder, images = gallery.folder or "", gallery.snapshot.images
    gone = 0 if within is not None else sum(not is_as_indexed(folder, image) for image in images)
    made.value = find_duplicates(gallery.snapshot, within, quiet=True, folder=folder), gone


def _described(site: Site, gallery: Gallery, group: Group) -> schema.Group:
    images = []
    for hit, about in zip(group.images, group.about, strict=True):
        if (image := site.image_at(gallery, hit.path)) is None:
            continue
        image.width, image.height = about.width or None, about.height or None
        kept = hit.path == group.keep
        images.append(
            schema.Copy(
                image=image,
                distance=hit.distance,
                keep=kept,
                why=group.reason if kept else about.why,
                format=about.format,
            )
        )
    images.sort(key=lambda copy: (not copy.keep, path_key(copy.image.path)))
    return schema.Group(keep=shown(group.keep), won=group.won, images=images)
