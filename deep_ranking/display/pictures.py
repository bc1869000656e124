"""Rows of small pictures as HTML: everything inside it, no script, readable on light and dark pages."""

import base64
import html
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from deep_ranking.images.decode import ImageError, read_thumbnail
from deep_ranking.search.groups import Group, summary

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


def _data_uri(path: str | Path, kind: str) -> str:
    """Return a thumbnail of an image, "webp" or "jpeg", as an address that holds it."""
    data = io.BytesIO()
    read_thumbnail(path, 2 * SIDE).save(data, kind, quality=80)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"


_STYLE = """
:root { color-scheme: light dark; --page: #f6f6f4; --card: #fff; --text: #1d1d1b; --quiet: #6b6b66;
        --line: #e2e2dd; --mark: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #161618; --card: #212124; --text: #ececea; --quiet: #a0a09a;
          --line: #35353a; --mark: #5fd0a5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 2rem 1.25rem 4rem;
       background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1rem; margin: 2rem 0 .6rem; font-weight: 600; }
p { margin: .25rem 0 0; color: var(--quiet); }
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem;
     grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
li { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; }
.picture { display: grid; place-items: center; height: 10rem; background: var(--page); }
img { width: 100%; height: 10rem; object-fit: contain; display: block; }
.words { padding: .5rem .7rem .6rem; font-size: .8rem; overflow-wrap: anywhere; }
.words div { color: var(--quiet); font-variant-numeric: tabular-nums; }
.copy { color: var(--mark); font-weight: 600; }
"""


def pictures_page(pictures: Pictures, title: str) -> Iterator[str]:
    """Yield the parts of an HTML page of pictures, each inside it as a small JPEG, for a browser of its own.

    Args:
        pictures: as `deep_ranking.show` gives them.
        title: of the page.
    """
    yield _head(title)
    for row in pictures.rows:
        yield f"<h2>{_text(row.heading)}</h2>\n<ul>\n" if row.heading else "<ul>\n"
        for name, path, lines in row.pictures:
            # What the name says already is not said below it again.
            yield _card(path, name, (_text(line) for line in lines if line not in name))
        yield "</ul>\n"
    yield f"<p>{_text(pictures.note)}</p>\n</body>\n</html>\n"


def _head(title: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>\n"
    )


MARKS = {"": "", "copy": "exact copy", "link": "link"}
"""What an image of a group is called, by what `Group.rows` says of it."""


def duplicates_page(groups: Iterable[Group], within: float | None, folder: str) -> Iterator[str]:
    """Yield the parts of an HTML page, each picture inside it as a small JPEG.

    Args:
        groups: as `find_duplicates` gives them.
        within: the threshold they were found with; None for the pixels.
        folder: that the images' paths are relative to.
    """
    rule = (
        "Copies of one picture." if within is None else f"Images joined by distances of {within:g} or less."
    )
    yield (
        f"{_head('Near-duplicates')}<p>{rule} Each is shown with the distance of its vector to that of the "
        "one to keep; nothing was deleted.</p>\n"
    )
    shown = []
    for group in groups:
        shown.append(group)
        kept = f" &middot; keep {_text(group.keep)} ({group.reason})" if group.keep else ""
        yield f"<h2>Group {len(shown)} &middot; {len(group.images)} images{kept}</h2>\n<ul>\n"
        for image, kind, words in group.rows():
            marks = "keep" * (image.path == group.keep), MARKS[kind]
            told = "".join(f' <span class="copy">{mark}</span>' for mark in marks if mark)
            lines = [f"{image.distance:.6f}{told}", ", ".join(words)]
            yield _card(Path(folder) / image.path, image.path, lines)
        yield "</ul>\n"
    yield f"<p>{summary(shown, within) if shown else 'There are none.'}</p>\n</body>\n</html>\n"


def _card(path: str | Path | None, name: str, lines: Iterable[str]) -> str:
    name, below = _text(name), "".join(f"<div>{line}</div>" for line in lines)
    try:
        picture = f'<img loading="lazy" alt="{name}" src="{_data_uri(path, "jpeg")}">' if path else None
    except ImageError:
        picture = None
    picture = picture or "<p>cannot be read</p>"
    return f'<li><div class="picture">{picture}</div><div class="words">{name}{below}</div></li>\n'
