"""The index of a folder of images: made, or brought up to date, by whatever embeds them."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from deep_ranking.errors import DeepRankingError
from deep_ranking.search.image import is_named_as_image
from deep_ranking.search.query import Embedder
from deep_ranking.search.store import IndexExistsError
from deep_ranking.search.stores.registry import Place, index_beside
from deep_ranking.search.update import Report, require_images, update_index

if TYPE_CHECKING:
    from deep_ranking.search.index import Index


def index_folder(
    kind: "type[Index]", folder: str | os.PathLike[str], embedder: Embedder, place: Place | None, quiet: bool
) -> "Index":
    """Bring the index of a folder up to date in this process; see `Index.from_folder`."""
    import deep_ranking  # what finds images lies above; it is asked for by its public name

    others: list[str] = []
    paths = deep_ranking.find_images(folder, others.append)
    require_images(folder, paths)
    place = index_beside(folder) if place is None else place
    return indexed(
        kind, place, embedder, lambda index: update_index(index, folder, paths, embedder, quiet=quiet), others
    )


def indexed(
    kind: "type[Index]",
    place: Place,
    embedder: Embedder,
    update: "Callable[[Index], Report]",
    others: Iterable[str],
    metadata: Mapping[str, str] | None = None,
) -> "Index":
    """Open the index at a place, or make it for this model, and update it; the report is the index's.

    Args:
        kind: the class of the index, which knows this module and not the other way round.
        place: of the index.
        embedder: of the index's model.
        update: brings the index up to date, if it is of the embedder's model.
        others: the paths of files that are no images, known once `update` has run; those named as images are
            reported as skipped.
        metadata: to keep with the index.

    Raises:
        DeepRankingError: the model cannot be told from others; what `update` raises.
    """
    if not embedder.fingerprint:
        raise DeepRankingError("expected a model that has a fingerprint, found one without; save and load it")
    index = _open_or_create(kind, place, embedder, metadata)
    try:
        report = update(index)
        for path in filter(is_named_as_image, others):
            report.skipped.setdefault(path, "named as an image, but its content is none")
        index.write(metadata=metadata)
        index.snapshot.warm()
    except BaseException:
        index.close()
        raise
    index.report = report
    return index


def _open_or_create(
    kind: "type[Index]", place: Place, embedder: Embedder, metadata: Mapping[str, str] | None
) -> "Index":
    try:
        if not kind.exists(place):
            return kind.create(place, embedder.dimension, embedder.fingerprint, metadata, embedder)
    except IndexExistsError:  # of another run, which started with this one
        pass
    return kind.open(place, embedder)
