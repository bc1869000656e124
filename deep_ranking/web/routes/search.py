"""Search, comparison and map."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Response

from deep_ranking.search import Hit
from deep_ranking.search.exact import distances
from deep_ranking.search.measure import PairDistances
from deep_ranking.web import schema
from deep_ranking.web.gallery import Gallery
from deep_ranking.web.problems import Problem
from deep_ranking.web.routes.images import known_folder, known_labels
from deep_ranking.web.site import At, Site, row_of

router = APIRouter(tags=["search"])

_JSON = "application/json"

ImageOrUpload = Annotated[str, Query(max_length=64, description="An image's number, or upload:NAME.")]


@router.get("/search")
async def search(site: At, asked: Annotated[schema.SearchQuery, Query()]) -> schema.Results:
    """Find the images nearest to an image of the index, which is itself left out, or to an upload."""
    gallery = site.gallery
    several = len(asked.image) + len(asked.upload)
    if (asked.path is None) == (not several) or several > schema.MOST_QUERIES:
        most = f"up to {schema.MOST_QUERIES} image=NUMBER and upload=NAME"
        raise Problem(422, f"Search by {most} together, or by one path=PATH.")
    queries = [_query(site, gallery, image=number) for number in asked.image]
    queries += [_query(site, gallery, upload=name) for name in asked.upload]
    queries += [] if asked.path is None else [_query(site, gallery, path=asked.path)]
    labels = known_labels(gallery, asked.label)
    known_folder(gallery, asked.folder)
    if not asked.exact and gallery.is_to_be_built():
        site.workers.begin("clusters", gallery.build)  # until they are there, answers are exact
    return await site.workers("search", _results, site, gallery, queries, asked, labels)


@router.get("/compare")
async def compare(site: At, a: ImageOrUpload, b: ImageOrUpload) -> schema.Comparison:
    """Tell how near two images are, and how near that is among the pairs of the index."""
    gallery = site.gallery
    one, other = _of_text(site, gallery, a), _of_text(site, gallery, b)
    pairs = site.pairs(gallery).value
    return await site.workers("search", _compared, site, gallery, one, other, pairs)


@router.get("/map", response_model=schema.Map)
async def plane(site: At) -> Response:
    """Tell where each image lies on a plane on which similar images are near each other."""
    made = site.map(site.gallery)
    done = made.done  # first: what is done has its value
    if made.problem or made.value is None:
        return Response(schema.Map(done=done, problem=made.problem).model_dump_json(), media_type=_JSON)
    return Response(made.value, media_type=_JSON)


@dataclass(frozen=True)
class _Query:
    """An image that is searched by or compared: of the index, or an upload.

    Attributes:
        vector: shape (dimension,), float32.
        row: of the image, or None for an upload.
        upload: its name, or None for an image.
    """

    vector: np.ndarray
    row: int | None = None
    upload: str | None = None


def _query(
    site: Site, gallery: Gallery, image: int | None = None, upload: str | None = None, path: str | None = None
) -> _Query:
    """Return the one of the three that is given; a path is of the index, no file is looked for elsewhere."""
    if upload is not None:
        vector = site.uploads.get(upload).vector
        if len(vector) != gallery.snapshot.matrix.shape[1]:
            raise Problem(404, "The index has changed its model; start the server again.", "upload-forgotten")
        return _Query(gallery.snapshot.moved(vector[None])[0], upload=upload)
    row = row_of(gallery, image) if image is not None else gallery.snapshot.row(path or "")
    if row is None:
        raise Problem(404, "No image in the index has this path; paths are relative to the folder of images.")
    return _Query(gallery.snapshot.matrix[row], row)


def _of_text(site: Site, gallery: Gallery, text: str) -> _Query:
    """Return the query of `ID` or `upload:NAME`."""
    if text.startswith("upload:"):
        return _query(site, gallery, upload=text.removeprefix("upload:"))
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise Problem(422, "Expected an image's number, or upload:NAME with the name of an upload.")
    return _query(site, gallery, int(text))


def _results(
    site: Site, gallery: Gallery, queries: list[_Query], asked: schema.SearchQuery, labels: Sequence[str]
) -> schema.Results:
    left_out = tuple({query.row for query in queries if query.row is not None})
    vector = queries[0].vector
    if len(queries) > 1:
        vector = np.asarray(
            np.mean([query.vector for query in queries], axis=0, dtype=np.float64), np.float32
        )
    start, folder = time.perf_counter(), asked.folder
    hits, exact = gallery.search(vector, asked.offset + asked.top, labels, left_out, asked.exact, folder)
    far = gallery.farthest(vector, asked.bottom, labels, left_out, folder) if asked.bottom else []
    took = time.perf_counter() - start
    rows = gallery.rows_with(labels, folder) if labels or folder else range(len(gallery))
    total = len(rows) - sum(bool(row in rows) for row in left_out)

    def described(hits: Sequence[Hit], first: int) -> list[schema.Result]:
        return [
            schema.Result(rank=rank, distance=hit.distance, image=image)
            for rank, hit in enumerate(hits, first)
            if (image := site.image_at(gallery, hit.path)) is not None
        ]

    return schema.Results(
        query=_subject(site, gallery, queries[0]),
        queries=[_subject(site, gallery, query) for query in queries],
        exact=exact,
        took_ms=round(took * 1000, 3),
        total=total,
        results=described(hits[asked.offset :], asked.offset + 1),
        bottom=described(far, 1),
    )


def _compared(
    site: Site, gallery: Gallery, one: _Query, other: _Query, pairs: PairDistances | None
) -> schema.Comparison:
    distance, spread = float(distances(one.vector[None], np.arange(1), other.vector)[0]), None
    if pairs is not None:
        edges, counts = (array.tolist() for array in pairs.histogram())
        spread = schema.Histogram(edges=edges, counts=counts, pairs=len(pairs.distances))
    return schema.Comparison(
        a=_subject(site, gallery, one),
        b=_subject(site, gallery, other),
        distance=distance,
        closer_than=None if pairs is None else pairs.closer_than(distance),
        histogram=spread,
    )


def _subject(site: Site, gallery: Gallery, query: _Query) -> schema.Subject:
    image = None if query.row is None else site.image(gallery, query.row)
    return schema.Subject(image=image, upload=query.upload)
