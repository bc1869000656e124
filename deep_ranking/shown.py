"""How data that knows no pixels comes to be shown as pictures in a notebook."""

from typing import Any


def shown(thing: Any) -> str:
    """Return the HTML that a notebook shows for `thing`; its `_repr_html_` calls this.

    Triplets and search results are plain data; the part that draws them lies above theirs. So they ask the
    package for it by its public name, `deep_ranking.show`, which is imported when a notebook first asks.
    """
    import deep_ranking

    html: str = deep_ranking.show(thing)._repr_html_()
    return html
