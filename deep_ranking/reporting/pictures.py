"""Pictures made of the images themselves: thumbnails, a query with what it found, the map."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from deep_ranking.evaluation.plane import neighbour_plane
from deep_ranking.images.decode import read_image
from deep_ranking.reporting.findings import Example

SIDE = 112
"""Of a thumbnail, in pixels."""

_CELL, _COLUMNS, _ROWS, _NEAR = 64, 24, 15, 1.5
_BETWEEN, _CAPTION = 8, 22


def thumbnail(path: str, side: int = SIDE) -> Image.Image:
    """Return the middle of an image as a square."""
    return ImageOps.fit(Image.fromarray(read_image(path)), (side, side), Image.Resampling.LANCZOS)


def save(image: Image.Image, kind: str) -> bytes:
    """Return a picture as the bytes of a file, `"png"` or `"webp"`: a tenth of the size, for the page."""
    data = io.BytesIO()
    image.save(data, kind, quality=85)
    return data.getvalue()


def strip(query: Example) -> Image.Image:
    """Return the query, right of it the nearest images and below these the farthest, with their distances."""
    step, line = SIDE + _BETWEEN, SIDE + _CAPTION
    width = step * (1 + len(query.nearest)) + 3 * _BETWEEN
    picture = Image.new("RGB", (width, 2 * line + _BETWEEN), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)

    def put(image: str, caption: str, left: int, top: int) -> None:
        picture.paste(thumbnail(image), (left, top))
        pen.text((left, top + SIDE + 2), caption, "black", font)

    put(query.image, "query", _BETWEEN, _BETWEEN)
    for row, (kind, results) in enumerate((("nearest", query.nearest), ("farthest", query.farthest))):
        for column, found in enumerate(results):
            caption = f"{found.distance:.6f}" + (f" {kind}" if column == 0 else "")
            put(found.image, caption, 3 * _BETWEEN + step * (1 + column), _BETWEEN + row * line)
    return picture


def embedding_map(vectors: np.ndarray, images: Sequence[str], seed: int = 0) -> Image.Image:
    """Return the map of some embeddings: near each other is what the network finds similar.

    Places by t-SNE (`neighbour_plane`); each image goes to the nearest free cell of a grid, so that none
    hides another, and one that finds no cell near its place is left out.

    Args:
        vectors: shape (n, d), float32, n at least 2.
        images: their paths.
        seed: of t-SNE.

    Returns:
        RGBA, transparent where nothing lies.
    """
    size = np.array([_COLUMNS, _ROWS])
    places = neighbour_plane(vectors, seed)
    places = (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9) * (size - 1)
    picture = Image.new("RGBA", (_CELL * _COLUMNS, _CELL * _ROWS))
    cells = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).reshape(-1, 2)
    free = np.ones(len(cells), bool)
    for place, image in zip(places, images, strict=True):
        away = np.where(free, np.linalg.norm(cells - place, axis=1), np.inf)
        cell = away.argmin()
        if away[cell] <= _NEAR:
            free[cell] = False
            column, row = cells[cell].tolist()
            picture.paste(thumbnail(image, _CELL - 4), (column * _CELL + 2, row * _CELL + 2))
    return picture
