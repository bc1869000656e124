"""How pages of one file look (the report, duplicates, results): as the served page, by its own styles."""

import html
import re
from pathlib import Path

STYLES = Path(__file__).with_name("web") / "static"


def page_head(title: str, *styles: str) -> str:
    """Return the beginning of a page, up to what its `main` holds, with all styles inside it.

    Args:
        title: in the browser's tab.
        styles: of the served page, by name, beside the one that all pages have; the last names the page.
    """
    css = "".join((STYLES / f"{name}.css").read_text(encoding="utf-8") for name in ("base", *styles))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{css}</style>\n</head>\n"
        f'<body class="{styles[-1]}-page">\n'
        '<header class="bar"><span class="brand">Deep Ranking</span></header>\n<main>\n'
    )


def colours(dark: bool) -> dict[str, str]:
    """Return the colours of the pages by name, for light or for dark ones.

    Example:
        >>> colours(dark=False)["paper"], colours(dark=True)["paper"]
        ('#ffffff', '#161b22')
    """
    light, other = re.findall(r":root \{([^}]*--page[^}]*)\}", (STYLES / "base.css").read_text("utf-8"))
    return dict(re.findall(r"--(\w+): (#\w+)", other if dark else light))
