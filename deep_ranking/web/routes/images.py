"""The images of the index, as lists, thumbnails and originals; and others, uploaded to search by."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Header, Path, Query, Request, Response

from deep_ranking.images.decode import ImageError, read_size
from deep_ranking.images.forms import media_type
from deep_ranking.web import schema
from deep_ranking.web.behind import Later
from deep_ranking.web.gallery import Gallery
from deep_ranking.web.problems import Problem
from deep_ranking.web.site import At, ImageEmbedder, Site, row_of
from deep_ranking.web.thumbnails import GONE, MEDIA_TYPE, SIZES, decoding, make_thumbnail, read_indexed
from deep_ranking.web.uploads import Upload, client_of, examine, receive_file

router, uploads = APIRouter(tags=["images"]), APIRouter(tags=["uploads"])

ImageId = Annotated[schema.Id, Path(description="An image's number.")]
ThumbnailSize = Annotated[
    Literal["160", "320", "640", "1600"], Query(description="Pixels of the longer side.")
]
IfNoneMatch = Annotated[str | None, Header()]
UploadName = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]

# For the API's description, which cannot see what is read and answered without a model of Pydantic.
_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_BODY = {"required": True, "content": {"multipart/form-data": {"schema": _FILE}}}
_UNCHANGED = {"description": "As it was."}
_WEBP: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {}}}}
_ANY: dict[int | str, dict[str, Any]] = {200: {"content": {"image/*": {}}}, 304: _UNCHANGED}


@router.get("/images")
async def list_images(
    site: At,
    label: Annotated[list[str], Query(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
    number: Annotated[list[schema.Id], Query(alias="id", max_length=200)] = [],  # noqa: B006
    folder: Annotated[str | None, Query(max_length=4096)] = None,
    name: Annotated[str, Query(max_length=200, description="A part of the path, in either case.")] = "",
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 60,
) -> schema.Images:
    """List images in order of their paths, of some labels, below a folder, by name; or images by number."""
    gallery = site.gallery
    if number:
        rows = np.array([row_of(gallery, n) for n in number])
    else:
        known_folder(gallery, folder)
        labels = known_labels(gallery, label)
        rows = await site.workers("search", gallery.rows_with, labels, folder, name)
    items = [site.image(gallery, row) for row in rows[offset : offset + limit].tolist()]
    return schema.Images(total=len(rows), offset=offset, limit=limit, items=items)


@router.get("/images/{number}")
async def one_image(site: At, number: ImageId) -> schema.Image:
    """Describe an image, with its size in pixels if its file can be read."""
    gallery = site.gallery
    row = row_of(gallery, number)
    if number not in gallery.sizes:
        try:
            await site.workers("decode", _measure, gallery, row)
        except Problem as problem:
            if problem.status_code != 404:
                raise
    return site.image(gallery, row)


@router.get("/images/{number}/thumbnail", response_class=Response, responses={**_WEBP, 304: _UNCHANGED})
async def thumbnail(
    site: At,
    number: ImageId,
    size: ThumbnailSize = "320",
    stand_in: Annotated[
        bool, Query(description="A drawing in place of 404, where the file is gone.")
    ] = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Return an image as WebP, made smaller to fit into a square of the size."""
    gallery = site.gallery
    row, headers = row_of(gallery, number), _lasting(f'"{number}-{size}"')
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    data = await site.workers("disk", site.thumbnails.get, number, int(size))
    if data is None:
        try:
            data = await site.workers("decode", _make_thumbnail, site, gallery, row, int(size))
        except Problem as problem:
            if not (stand_in and problem.status_code == 404):
                raise
            return Response(GONE, media_type="image/svg+xml")
    return Response(data, media_type=MEDIA_TYPE, headers=headers)


@router.get("/images/{number}/file", response_class=Response, responses=_ANY)
async def original(site: At, number: ImageId, if_none_match: IfNoneMatch = None) -> Response:
    """Return an image's file as it is."""
    gallery = site.gallery
    row, headers = row_of(gallery, number), _lasting(f'"{number}"')
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    data, kind = await site.workers("original", _read, gallery, row)
    return Response(data, media_type=kind, headers=headers)


@uploads.post("/uploads", status_code=201, openapi_extra={"requestBody": _BODY})
async def upload(site: At, request: Request) -> schema.Uploaded:
    """Take an image (multipart, field `file`) to search by; it is kept in memory only, for a while."""
    data = await receive_file(request, site.settings.max_upload_bytes)
    content, width, height, picture = await site.workers("decode", examine, data)
    gallery = site.gallery
    row = gallery.row_of_content(content)
    if row is not None and (known := gallery.snapshot.vector(content, as_given=True)) is not None:
        vector = known.copy()
    elif site.embedder is not None:
        vector = await site.workers("embed", _embed, site.embedder, data)
    else:
        detail = "No model is loaded, so only images of the index can be searched by; "
        raise Problem(409, f"{detail}start the server with --model FILE.", "no-model")
    client = client_of(request, site.settings.public is not None)
    name = site.uploads.add(Upload(vector, width, height, picture), client)
    return schema.Uploaded(upload=name, width=width, height=height)


@uploads.get("/uploads/{name}/thumbnail", response_class=Response, responses=_WEBP)
async def upload_thumbnail(site: At, name: UploadName, size: ThumbnailSize = "320") -> Response:
    """Return an upload as WebP, made smaller to fit into a square of the size."""
    data = site.uploads.get(name).picture
    if int(size) < max(SIZES):
        data = await site.workers("decode", make_thumbnail, data, int(size))
    return Response(data, media_type=MEDIA_TYPE, headers={"Cache-Control": "private, max-age=3600"})


def known_labels(gallery: Gallery, labels: list[str]) -> list[str]:
    """Return the labels that are asked for, without empty ones.

    Raises:
        Problem: 404, the index has no such label.
    """
    wanted = [label for label in labels if label]
    for label in wanted:
        if label not in gallery.labels:
            raise Problem(
                404, f"No image has the label {label[:100]!r} (any more); choose another, or search all."
            )
    return wanted


def known_folder(gallery: Gallery, folder: str | None) -> None:
    """Look whether there is a folder that is asked for.

    Raises:
        Problem: 404, no image lies below it.
    """
    if folder and folder not in gallery.folders:
        raise Problem(
            404, f"No image is in the folder {folder[:100]!r} (any more); choose another, or search all."
        )


def _lasting(tag: str) -> dict[str, str]:
    """Return the headers of what nobody need ask for again: a number never comes to mean another content."""
    return {"ETag": tag, "Cache-Control": "private, max-age=31536000, immutable"}


def _measure(gallery: Gallery, row: int) -> bytes:
    """Remember an image's size in pixels, and return its bytes."""
    data = read_indexed(gallery.folder, gallery.snapshot.images[row])
    with _readable():
        gallery.sizes[int(gallery.ids[row])] = read_size(data)
    return data


def _make_thumbnail(site: Site, gallery: Gallery, row: int, size: int) -> bytes:
    data = _measure(gallery, row)
    with _readable():
        made = make_thumbnail(data, size)
    site.thumbnails.put(int(gallery.ids[row]), size, made)
    return made


def _read(gallery: Gallery, row: int) -> tuple[bytes, str]:
    data = read_indexed(gallery.folder, gallery.snapshot.images[row])
    with _readable():  # whatever else it is, no browser shall take it for a page
        read_size(data)
        return data, media_type(data[:64])


def _embed(embedder: ImageEmbedder | Later, data: bytes) -> np.ndarray:
    with decoding(data):
        return embedder.embed_image(data)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except ImageError:
        raise Problem(404, "The image's file cannot be decoded; index the folder again.") from None
