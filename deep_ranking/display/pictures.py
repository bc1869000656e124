"""Rows of small pictures as HTML: everything inside it, no script, readable on light and dark pages."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deep_ranking.images.decode import ImageError, read_thumbnail
from deep_ranking.progress import progress
from deep_ranking.search.groups import Group, summary
from deep_ranking.styles import page_head

SIDE = 96
"""Of the square that a picture stands in, in CSS pixels; its file has at most twice as many."""

_LARGER = 256  # pixels of a picture on a page of its own

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
    """An image, called `name` and opened at `path` (None: no such file was found), and the lines below it."""

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
        note = (
            f'<div style="font-size:12px;white-space:pre-line">{_text(self.note)}</div>' if self.note else ""
        )
        return f'<div style="{_ROWS}">{"".join(map(_row, self.rows))}</div>{note}'


def _row(row: Row) -> str:
    heading = f'<div style="font-weight:600">{_text(row.heading)}</div>' if row.heading else ""
    return f'<div>{heading}<ul style="{_ROW}">{"".join(map(_picture, row.pictures))}</ul></div>'


def _picture(picture: Picture) -> str:
    # A line is broken after a slash rather than within a name.
    broken = [_text(line).replace("/", "/<wbr>") for line in picture.lines]
    lines = "".join(f'<div style="{_LINE}">{line}</div>' for line in broken)
    name = _text(picture.name)
    return f'<li style="{_CELL}" title="{name}">{_image(picture.path, name)}{lines}</li>'


def _image(path: str | None, name: str) -> str:
    try:
        if path:
            source = _data_uri(path, "webp")
            return f'<img src="{source}" alt="{name}" width="{SIDE}" height="{SIDE}" style="{_IMAGE}">'
        reason = "not found"
    except ImageError:
        reason = "cannot be read"
    return f'<div role="img" aria-label="{name}: {reason}" style="{_NONE}">{reason}</div>'


def _text(text: str) -> str:
    """Escape; a file name that is not UTF-8 has question marks where it is not."""
    return html.escape(text.encode("utf-8", "replace").decode())


def _data_uri(path: str | Path, kind: str, side: int = 2 * SIDE) -> str:
    """Return a thumbnail of an image, "webp" or "jpeg", as an address that holds it."""
    data = io.BytesIO()
    read_thumbnail(path, side).save(data, kind, quality=80)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


def pictures_page(pictures: Pictures, title: str) -> Iterator[str]:
    """Yield the parts of an HTML page of pictures, each inside it as a small JPEG, for a browser of its own.

    Args:
        pictures: as `deep_ranking.show` gives them.
        title: of the page.
    """
    yield _head(title, title, pictures.note)
    for row in pictures.rows:
        heading = f"<h2>{_text(row.heading)}</h2>\n" if row.heading else ""
        yield f'<section class="group">\n{heading}<ul>\n'
        for name, path, lines in row.pictures:
            # What the name says already is not said below it again.
            yield _card(path, name, "", ", ".join(line for line in lines if line not in name))
        yield "</ul>\n</section>\n"
    yield _END


def _head(title: str, heading: str, *lines: str) -> str:
    said = "".join(f'<p class="muted">{_text(line)}</p>\n' for line in lines if line)
    return f"{page_head(title, 'duplicates')}<h1>{_text(heading)}</h1>\n{said}"


_END = "</main>\n</body>\n</html>\n"

MARKS = {"": "", "copy": "exact copy", "link": "link"}
"""What an image of a group is called, by what `Group.rows` says of it."""


def duplicates_page(groups: Sequence[Group], within: float | None, folder: str) -> Iterator[str]:
    """Yield the parts of an HTML page, each picture inside it as a small JPEG; what was found stands first.

    Args:
        groups: as `find_duplicates` gives them.
        within: the threshold they were found with; None for the pixels.
        folder: that the images' paths are relative to.
    """
    rule = "Copies of one picture, by their pixels."
    if within is not None:
        rule = f"By vectors, within {within:g} of the first of each group: similar, and perhaps no copies."
    found = summary(groups, within).removesuffix("; nothing was deleted") if groups else "There are none"
    yield _head("Near-duplicates", found, f"{rule} Nothing was deleted.")
    for number, group in enumerate(progress(groups, "drawing", "groups"), 1):
        won = f" <span>{_size(group.won)} to win</span>" if group.won and within is None else ""
        yield f'<section class="group">\n<h2>{number}. {len(group.images)} images{won}</h2>\n<ul>\n'
        for image, kind, words in sorted(group.rows(), key=lambda row: row[0].path != group.keep):
            first = image.path == group.keep
            why = "" if first or not group.about else words.pop(0)
            verdict = f"\N{CHECK MARK} Keep: {group.reason}" if first else why or MARKS[kind]
            if within is not None:  # similar, so none is said to be worth keeping
                copy = f", and a copy: {why}" if why not in ("", "alike") else ""
                verdict = "The others are near this one" if first else f"Distance {image.distance:.6f}{copy}"
            kind = "keep" if first and within is None else "copy"
            yield _card(Path(folder) / image.path, image.path, verdict, ", ".join(words), kind)
        yield "</ul>\n</section>\n"
    yield _END


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def _card(path: str | Path | None, name: str, verdict: str, words: str, kind: str = "copy") -> str:
    shown = _text(name)
    try:
        picture = (
            f'<img loading="lazy" alt="{shown}" src="{_data_uri(path, "jpeg", _LARGER)}">' if path else None
        )
    except ImageError:
        picture = None
    said = f'<p class="verdict">{_text(verdict)}</p>' if verdict else ""
    broken = shown.replace("/", "/<wbr>")
    return (
        f'<li class="{kind}"><div class="well">{picture or "cannot be read"}</div>{said}'
        f'<p>{broken}</p><p class="muted">{_text(words)}</p></li>\n'
    )
