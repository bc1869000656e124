"""Search, comparison and map."""

import time
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query

from deep_ranking.search import Hit
from deep_ranking.search.exact import distances
from deep_ranking.web import schema
from deep_ranking.web.gallery import Gallery, shown
from deep_ranking.web.problems import Problem
from deep_ranking.web.routes.images import known_labels
from deep_ranking.web.site import At, ImageVector, Site, by_image, by_path, by_text, by_upload

router = APIRouter(tags=["search"])

ImageOrUpload = Annotated[str, Query(max_length=64, description="An image's number, or upload:NAME.")]


@router.get("/search")
async def search(site: At, asked: Annotated[schema.SearchQuery, Query()]) -> schema.Results:
    """Find the images nearest to an image of the index, which is itself left out, or to an upload."""
    gallery = site.gallery
    query = _query(site, gallery, asked)
    labels = known_labels(gallery, asked.label)
    return await site.workers.search(_results, site, gallery, query, asked, labels)


@router.get("/compare")
async def compare(site: At, a: ImageOrUpload, b: ImageOrUpload) -> schema.Comparison:
    """Tell how near two images are, and how near that is among the pairs of the index."""
    gallery = site.gallery
    one, other = by_text(site, gallery, a), by_text(site, gallery, b)
    return await site.workers.search(_compared, site, gallery, one, other)


@router.get("/map")
async def plane(site: At) -> schema.Map:
    """Tell where each image lies on a plane on which similar images are near each other."""
    gallery = site.gallery
    return await site.workers.search(_map, site, gallery)


def _query(site: Site, gallery: Gallery, asked: schema.SearchQuery) -> ImageVector:
    if [asked.image, asked.upload, asked.path].count(None) != 2:
        raise Problem(422, "Search by exactly one of image=NUMBER, upload=NAME and path=PATH.")
    if asked.image is not None:
        return by_image(gallery, asked.image)
    if asked.upload is not None:
        return by_upload(site, gallery, asked.upload)
    return by_path(gallery, asked.path or "")


def _results(
    site: Site, gallery: Gallery, query: ImageVector, asked: schema.SearchQuery, labels: Sequence[str]
) -> schema.Results:
    left_out = () if query.row is None else (query.row,)
    start = time.perf_counter()
    hits, exact = gallery.search(query.vector, asked.offset + asked.top, labels, left_out, asked.exact)
    far = gallery.farthest(query.vector, asked.bottom, labels, left_out) if asked.bottom else []
    took = time.perf_counter() - start
    rows = gallery.rows_with(labels) if labels else None
    total = len(gallery) - len(left_out)
    if rows is not None:
        total = len(rows) - int(query.row is not None and query.row in rows)

    def described(hits: Sequence[Hit], first: int) -> list[schema.Result]:
        return [
            schema.Result(rank=rank, distance=hit.distance, image=image)
            for rank, hit in enumerate(hits, first)
            if (image := site.image_at(gallery, hit.path)) is not None
        ]

    return schema.Results(
        query=_subject(site, gallery, query),
        exact=exact,
        took_ms=round(took * 1000, 3),
        total=total,
        results=described(hits[asked.offset :], asked.offset + 1),
        bottom=described(far, 1),
    )


def _compared(site: Site, gallery: Gallery, one: ImageVector, other: ImageVector) -> schema.Comparison:
    distance = float(distances(one.vector[None], np.arange(1), other.vector)[0])
    pairs = site.pairs(gallery)
    edges, counts = pairs.histogram()
    return schema.Comparison(
        a=_subject(site, gallery, one),
        b=_subject(site, gallery, other),
        distance=distance,
        closer_than=pairs.closer_than(distance),
        histogram=schema.Histogram(edges=edges.tolist(), counts=counts.tolist(), pairs=len(pairs.distances)),
    )


def _subject(site: Site, gallery: Gallery, query: ImageVector) -> schema.Subject:
    image = None if query.row is None else site.image(gallery, query.row)
    return schema.Subject(image=image, upload=query.upload)


def _map(site: Site, gallery: Gallery) -> schema.Map:
    found = site.map(gallery)
    labels: dict[str | None, int] = {}
    rows = found.rows.tolist()
    images = gallery.snapshot.images
    of_each = [labels.setdefault(images[row].label or None, len(labels)) for row in rows]
    x, y = found.places.round(5).T.tolist() if rows else ([], [])
    return schema.Map(
        method=found.method,
        labels=[_shown(label) for label in labels],
        ids=[gallery.ids[row] for row in rows],
        x=x,
        y=y,
        label=of_each,
    )


def _shown(label: str | None) -> str | None:
    return None if label is None else shown(label)
