"""Rows of small pictures as HTML: everything inside it, no script, readable on light and dark pages."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from deep_ranking.images.decode import ImageError, read_thumbnail

SIDE = 96
"""Of the square that a picture stands in, in CSS pixels; its file has at most twice as many."""

# Text takes the page's colour, lines that of the text. Styles stand at the elements: one element of HTML in a
# notebook shares the page with all others, and some viewers drop style sheets.
_ROWS = "display:flex;flex-wrap:wrap;gap:12px 28px;line-height:1.35;font-size:11px"
_ROW = "display:flex;flex-wrap:wrap;gap:8px;list-style:none;margin:0;padding:0"
_CELL = f"width:{SIDE}px;margin:0;padding:0"
_IMAGE = "display:block;object-fit:contain;margin:0;max-width:none"
_NONE = (
    f"display:flex;align-items:center;justify-content:center;width:{SIDE}px;height:{SIDE}px;"
    "box-sizing:border-box;border:1px dashed currentColor;opacity:.7;text-align:center"
)
_LINE = (  # two lines of a long name; all of it is in the title
    "display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:2;overflow:hidden;overflow-wrap:anywhere"
)


class Picture(NamedTuple):
    """An image and the lines below it.

    `name` is how people call it; `path` is where it is opened, None where no such file was found.
    """

    name: str
    path: str | None
    lines: tuple[str, ...] = ()


class Row(NamedTuple):
    """Pictures that belong together, and a line above them if there is something to say."""

    pictures: Sequence[Picture]
    heading: str = ""


@dataclass(frozen=True)
class Pictures:
    """Rows of pictures for a notebook; an image that cannot be read is an empty frame with its name.

    Args:
        rows: what is shown; each picture adds a few kilobytes.
        note: what is not shown, or that there is nothing; "" if these are all.
    """

    rows: Sequence[Row]
    note: str = ""

    def __repr__(self) -> str:
        count = sum(len(row.pictures) for row in self.rows)
        return f"<{count} pictures for a notebook{f' ({self.note})' if self.note else ''}>"

    def _repr_html_(self) -> str:
        rows = "".join(map(_row, self.rows))
        note = f'<div style="font-size:12px">{_text(self.note)}</div>' if self.note else ""
        return f'<div style="{_ROWS}">{rows}</div>{note}'


def _row(row: Row) -> str:
    heading = f'<div style="font-weight:600">{_text(row.heading)}</div>' if row.heading else ""
    return f'<div>{heading}<ul style="{_ROW}">{"".join(map(_picture, row.pictures))}</ul></div>'


def _picture(picture: Picture) -> str:
    lines = "".join(f'<div style="{_LINE}">{_breakable(line)}</div>' for line in picture.lines)
    name = _text(picture.name)
    return f'<li style="{_CELL}" title="{name}">{_image(picture.path, name)}{lines}</li>'


def _image(path: str | None, name: str) -> str:
    try:
        if path:
            source = data_uri(read_thumbnail(path, 2 * SIDE))
            return f'<img src="{source}" alt="{name}" width="{SIDE}" height="{SIDE}" style="{_IMAGE}">'
        reason = "not found"
    except ImageError:
        reason = "cannot be read"
    return f'<div role="img" aria-label="{name}: {reason}" style="{_NONE}">{reason}</div>'


def _breakable(line: str) -> str:
    """Escape, and let a line be broken after a slash rather than within a name."""
    return _text(line).replace("/", "/<wbr>")


def _text(text: str) -> str:
    """Escape; a file name that is not UTF-8 has question marks where it is not."""
    return html.escape(text.encode("utf-8", "replace").decode())


def data_uri(image: Image.Image) -> str:
    """Return an image as an address that holds it."""
    data = io.BytesIO()
    image.save(data, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
