"""A page of near-duplicates in one file: thumbnails inside, nothing fetched, no script."""

import base64
import html
from collections.abc import Callable, Iterable, Iterator

from deep_ranking.search.duplicates import Group

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


def duplicates_page(
    groups: Iterable[Group], within: float, thumbnail: Callable[[str], bytes | None]
) -> Iterator[str]:
    """Yield the parts of an HTML page.

    Args:
        groups: as `find_duplicates` gives them.
        within: the threshold they were found with.
        thumbnail: gives the JPEG of an image's path, or None where there is none to show.
    """
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Near-duplicates</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>Near-duplicates</h1>\n"
        f"<p>Images joined by distances of {within:g} or less, each with its distance to the first of its"
        " group. Nothing was deleted.</p>\n"
    )
    number = 0
    for number, group in enumerate(groups, 1):
        yield f"<h2>Group {number} &middot; {len(group.images)} images</h2>\n<ul>\n"
        for image in group.images:
            path = html.escape(image.path)
            copy = ' <span class="copy">exact copy</span>' if image.path in group.copies else ""
            yield (
                f'<li><div class="picture">{_picture(thumbnail(image.path), path)}</div>'
                f'<div class="words">{path}<div>{image.distance:.4f}{copy}</div></div></li>\n'
            )
        yield "</ul>\n"
    if not number:
        yield "<p>There are none.</p>\n"
    yield "</body>\n</html>\n"


def _picture(data: bytes | None, path: str) -> str:
    if data is None:
        return "<p>cannot be read</p>"
    return f'<img loading="lazy" alt="{path}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
