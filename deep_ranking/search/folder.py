"""The index of a folder of images, or of several: made, or brought up to date, by whatever embeds them."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import WriteError, check_writable
from deep_ranking.location import RATINGS, index_beside, is_address
from deep_ranking.search.following import Following
from deep_ranking.search.query import Embedder
from deep_ranking.search.store import IndexExistsError
from deep_ranking.search.stores.registry import Place, folder_of
from deep_ranking.search.update import LEFT, Report, left_in, noted

if TYPE_CHECKING:
    from deep_ranking.search.index import Index

logger = logging.getLogger(__name__)


def index_folder(
    kind: "type[Index]",
    folders: Sequence[str | os.PathLike[str]],
    embedder: Embedder | None,
    place: Place | None,
    quiet: bool,
    **how: Any,
) -> "Index":
    """Bring the index of folders up to date in this process; see `Index.from_folder`."""
    place = index_beside(folders[0]) if place is None else place
    following = follow(kind, place, folders, **how)

    metadata: dict[str, str] = {}
    if embedder is None:
        embedder, metadata = default_embedder(kind, place, following.paths, quiet)
    chosen = embedder
    return indexed(kind, place, chosen, lambda index: following.update(index, chosen, quiet), metadata)


def follow(
    kind: "type[Index]", place: Place, folders: Sequence[str | os.PathLike[str]] = (), **how: Any
) -> Following:
    """Look into the folders that an index is to follow, whether it is there or not; see `Following`."""
    if not kind.exists(place):
        following = Following(folders, **how)
        _check_place(place)  # before images are described, which may take long
        return following
    with kind.open(place) as index:
        return Following(folders, index.store.images, dict(index.metadata), **how)


def _check_place(place: Place) -> None:
    """Raise DeepRankingError where no index can be made."""
    name = os.fspath(place)
    if is_address(name) or Path(name).is_dir():
        return
    if Path(name).is_file():
        raise DeepRankingError(f"{name}: expected a folder for the index, or none yet; found a file")
    try:
        check_writable(name)
    except WriteError as error:
        raise DeepRankingError(f"{error} for the index: --index DIR (in Python place=)") from error


def default_embedder(
    kind: "type[Index]", place: Place, images: Sequence[str], quiet: bool = True, **options: Any
) -> tuple[Any, dict[str, str]]:
    """Return what embeds where no model is given, and what a new index is to remember of it.

    Of an index that is there, what it remembers; else a description, fitted on these images.

    Args:
        kind: the class of the index.
        place: of the index, which need not be there.
        images: paths that can be opened.
        quiet: no progress.
        options: `weights`, `engine` and `precision` of `Description.fit`, and for a new index `look`.

    Raises:
        DeepRankingError: the index remembers nothing, or another look; no image can be read.
    """
    import deep_ranking  # what describes lies above

    look = options.pop("look", None)
    if kind.exists(place):
        with kind.open(place) as index:
            remembered = dict(index.metadata)
        embedder: Any = deep_ranking.embedder_of(remembered, **options)
        found = getattr(embedder, "look", None)
        if look not in (None, found):
            raise DeepRankingError(
                f"{os.fspath(place)}: expected an index with the look {look}, found one with "
                f"{found or 'a model'}; delete it, or choose another place"
            )
        return embedder, {}
    described = deep_ranking.Description.fit(images, look or "balanced", quiet=quiet, **options)
    return described, described.metadata()


def indexed(
    kind: "type[Index]",
    place: Place,
    embedder: Embedder,
    update: "Callable[[Index], Report]",
    metadata: Mapping[str, str] | None = None,
) -> "Index":
    """Open the index at a place, or make it for this model, and update it; the report is the index's.

    Raises:
        DeepRankingError: the model cannot be told from others; what `update` raises.
    """
    if not embedder.fingerprint:
        raise DeepRankingError("expected a model that has a fingerprint, found one without; save and load it")
    index = _open_or_create(kind, place, embedder, metadata)
    try:
        _tell_ratings(place, index)  # for an update that was killed right after it had told them
        index.report = update(index)
        _tell_ratings(place, index, index.report.moved)
        index.write(metadata=metadata)
        index.snapshot.warm()
    except BaseException:
        index.close()
        raise
    return index


def _tell_ratings(place: Place, index: "Index", moved: Mapping[str, str] | None = None) -> None:
    """Let ratings that are kept with an index name images as they are called now, and note that they do.

    Args:
        moved: the new path of each old one; None to note only what they were told before.
    """
    if not left_in(index.metadata):
        return
    mark, folder = index.metadata[LEFT], folder_of(place)
    if folder is not None and (folder / RATINGS).is_file():
        import deep_ranking  # what keeps ratings lies above; it is asked for by its public name

        try:
            with deep_ranking.RatingStore(folder / RATINGS) as ratings:
                if moved is not None:
                    ratings.rename(moved, mark)
                elif not ratings.has_followed(mark):
                    return
        except DeepRankingError as error:
            if moved:
                told = "ratings name images that were renamed as before, until the next update: %s"
                logger.warning(told, error)
            return
    index.write(metadata=noted({}))


def _open_or_create(
    kind: "type[Index]", place: Place, embedder: Embedder, metadata: Mapping[str, str] | None
) -> "Index":
    try:
        if not kind.exists(place):
            return kind.create(place, embedder.dimension, embedder.fingerprint, metadata, embedder)
    except IndexExistsError:  # of another run, which started with this one
        pass
    return kind.open(place, embedder)
