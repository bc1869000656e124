"""Images that are not in the index, to search by."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from deep_ranking.web import schema
from deep_ranking.web.problems import Problem
from deep_ranking.web.routes.images import ThumbnailSize
from deep_ranking.web.site import At
from deep_ranking.web.thumbnails import MEDIA_TYPE, SIZES, make_thumbnail
from deep_ranking.web.uploads import Upload, content_hash, examine, receive_file

router = APIRouter(tags=["uploads"])

UploadName = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


@router.post("/uploads", status_code=201, openapi_extra=_BODY)
async def upload(site: At, request: Request) -> schema.Uploaded:
    """Take an image (multipart, field `file`) to search by; it is kept in memory only, for a while."""
    data = await receive_file(request, site.settings)
    width, height, picture = await site.workers.decode(examine, data)
    gallery = site.gallery
    row = gallery.rows_of_content.get(await site.workers.decode(content_hash, data))
    if row is not None:
        vector = gallery.snapshot.matrix[row].copy()
    elif site.embedder is not None:
        vector = await site.workers.embed(site.embedder.embed_image, data)
    else:
        raise Problem(
            409,
            "No model is loaded, so only images of the index can be searched by; "
            "start the server with --model FILE.",
            "no-model",
        )
    name = site.uploads.add(Upload(vector, width, height, picture))
    return schema.Uploaded(upload=name, width=width, height=height)


@router.get(
    "/uploads/{name}/thumbnail", response_class=Response, responses={200: {"content": {MEDIA_TYPE: {}}}}
)
async def upload_thumbnail(site: At, name: UploadName, size: ThumbnailSize = "320") -> Response:
    """Return an upload as WebP, made smaller to fit into a square of the size."""
    data = site.uploads.get(name).picture
    if int(size) < max(SIZES):
        data = await site.workers.decode(make_thumbnail, data, int(size))
    return Response(data, media_type=MEDIA_TYPE, headers={"Cache-Control": "private, max-age=3600"})
