"""A store in shards: an image's content says which; each is a folder with a process on a Ray cluster."""

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking.errors import DeepRankingError, made_later, reason
from deep_ranking.extras.ray.ray_cluster import join_cluster
from deep_ranking.extras.ray.shard_actor import ShardActor
from deep_ranking.files import path_key
from deep_ranking.search.approximate import Kind
from deep_ranking.search.image import Image
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.promise import Curve
from deep_ranking.search.snapshot import Snapshot, ranked
from deep_ranking.search.store import Contents, IndexExistsError, Store
from deep_ranking.search.stores.local import LocalStore

FILE_NAME = "shards.json"
LAYOUT = 1

_URL = re.compile(r"ray://(?P<address>[^/?]+)(?P<folder>/[^?]+)(\?shards=(?P<shards>[1-9]\d{0,3}))?")
_ATTEMPTS = 3  # of one call, each in a new process


class ShardedStore(Store):
    """The shards of one index.

    A shard's write is one transaction; a write to several may be seen, or cut by a kill, shard by shard. Then
    an image that was being replaced is missing until the next `deep-ranking index`, never there twice. One
    process at a time may write.

    Args:
        place: `ray://ADDRESS/FOLDER[?shards=N]`. The folder is absolute, and each machine of the cluster sees
            it under this path. The number of shards is settled when they are made.

    Raises:
        DeepRankingError: no such URL, cluster or index.
        MissingExtraError: Ray is not installed.
    """

    def __init__(self, place: str | os.PathLike[str]):
        super().__init__(place)
        address, self.folder, wanted = _read(place)
        if not self.exists(place):
            raise self.missing(place, f"no {FILE_NAME} in the folder")
        layout, self._shards = _read_about(self.folder / FILE_NAME)
        if layout != LAYOUT or wanted not in (None, self._shards):
            raise DeepRankingError(
                f"{self.name}: expected layout {LAYOUT} in {wanted or 'any number of'} shards, found layout "
                f"{layout} in {self._shards}; "
                + (made_later(layout, LAYOUT) or "leave ?shards= out, or index into another folder")
            )
        self._ray = join_cluster(address)
        self._actors: list[Any] = []
        self.metadata = self.ask("metadata")[0]

    @classmethod
    def create(cls, place: str | os.PathLike[str], metadata: Mapping[str, str]) -> "ShardedStore":
        """Make the shards, in a folder that is missing or empty.

        Raises:
            IndexExistsError: there is an index already.
        """
        address, folder, wanted = _read(place)
        cluster = join_cluster(address)
        shards = wanted or max(1, int(cluster.cluster_resources().get("CPU", 1)))
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            for number in range(shards):
                LocalStore.create(_folder(unfinished, number), metadata).close()
            about = json.dumps({"layout": LAYOUT, "shards": shards})
            (unfinished / FILE_NAME).write_text(about, encoding="utf-8")
            unfinished.chmod(0o755)
            unfinished.rename(folder)
        except OSError as error:
            if cls.exists(place):
                raise IndexExistsError(
                    f"{folder}: there is an index already; open it, or delete it"
                ) from None
            raise DeepRankingError(
                f"{folder}: expected a folder that is missing or empty ({error})"
            ) from None
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return cls(place)

    @staticmethod
    def shown(place: str | os.PathLike[str]) -> str:
        address, folder, _ = _read(place)
        return f"ray://{address}{folder}"

    @classmethod
    def exists(cls, place: str | os.PathLike[str]) -> bool:
        return (_read(place)[1] / FILE_NAME).is_file()

    def close(self) -> None:
        """End the shards' processes."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []

    def version(self) -> str:
        return " ".join(self.ask("store", "version"))

    def snapshot(self) -> "ShardedSnapshot":
        return ShardedSnapshot(self)

    def images(self) -> list[Image]:
        return sorted(chain(*self.ask("store", "images")), key=lambda image: path_key(image.path))

    def count(self) -> int:
        return sum(self.ask("count"))

    def contents(self) -> Contents:
        versions, images, matrices = zip(*self.ask("contents"), strict=True)
        every = list(chain(*images))
        order = sorted(range(len(every)), key=lambda row: path_key(every[row].path))
        matrix = np.concatenate(matrices)[order]
        return Contents.of(" ".join(versions), [every[row] for row in order], matrix)

    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        wanted: list[list[bytes]] = [[] for _ in range(self._shards)]
        for content in hashes:
            wanted[self.home(content)].append(content)
        return set().union(*self.ask_each("store", [("known", some) for some in wanted]))

    def write(
        self,
        images: Iterable[Image] = (),
        vectors: Mapping[bytes, np.ndarray] | None = None,
        remove: Collection[str] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        images = list({image.path: image for image in images}.values())
        put: list[list[Image]] = [[] for _ in range(self._shards)]
        new: list[dict[bytes, np.ndarray]] = [{} for _ in range(self._shards)]
        for image in images:
            put[self.home(image.hash)].append(image)
        for content, vector in (vectors or {}).items():
            new[self.home(content)][content] = vector
        removed = sum(self.ask("store", "write", (), None, list(remove))) if remove else 0
        if images:  # an earlier content of theirs may be in another shard, and goes first
            paths = {image.path for image in images}
            others = [list(paths - {image.path for image in some}) for some in put]
            self.ask_each("store", [("write", (), None, some) for some in others])
        self.ask_each("store", [("write", *some, (), metadata) for some in zip(put, new, strict=True)])
        self.metadata.update(metadata or {})
        return removed

    def sweep(self) -> None:
        self.ask("store", "sweep")

    def home(self, content: bytes) -> int:
        """Return the number of the shard that a content is in."""
        return int.from_bytes(content[:4], "big") % self._shards

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of `ShardActor` in all shards at once, and return their answers."""
        return self.ask_each(method, [arguments] * self._shards)

    def ask_each(self, method: str, arguments: Sequence[Sequence[Any]]) -> list[Any]:
        """Call a method of `ShardActor` with arguments of its own in each shard."""
        actors = self._start()
        calls = [getattr(a, method).remote(*values) for a, values in zip(actors, arguments, strict=True)]
        return self._answers(calls)

    def ask_one(self, number: int, method: str, *arguments: Any) -> Any:
        """Call a method of one shard."""
        return self._answers([getattr(self._start()[number], method).remote(*arguments)])[0]

    def _answers(self, calls: list[Any]) -> list[Any]:
        """Wait for calls; a process that dies is replaced, and asked again.

        Raises:
            DeepRankingError: what a shard raises, or a process that dies again and again.
        """
        try:
            return self._ray.get(calls)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, DeepRankingError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            self.close()  # the next call starts all of them anew
            raise DeepRankingError(
                f"{self.name}: a shard cannot be used ({reason(error)}); is its folder still there, and has "
                "each machine the memory for its shards?"
            ) from None

    def _start(self) -> list[Any]:
        if not self._actors:
            # No share of a processor is set aside: shards must start however few there are.
            actor = self._ray.remote(
                max_restarts=-1, max_task_retries=_ATTEMPTS - 1, num_cpus=0, scheduling_strategy="SPREAD"
            )(ShardActor)
            self._actors = [actor.remote(_folder(self.folder, number)) for number in range(self._shards)]
        return self._actors


class ShardedSnapshot(Snapshot):
    """The images of all shards, as they are when a search comes."""

    store: "ShardedStore"
    remote = True

    def content(self, path: str) -> bytes | None:
        found = self.store.ask("search", "content", path)
        return next((content for content in found if content is not None), None)

    def vector(self, content: bytes, as_given: bool = False) -> np.ndarray | None:
        return self.store.ask_one(self.store.home(content), "search", "vector", content)

    def labels(self) -> Mapping[str, int]:
        return sum(map(Counter, self.store.ask("search", "labels")), Counter())

    def has_folder(self, folder: str) -> bool:
        return any(self.store.ask("search", "has_folder", folder))

    def probes(self, kind: Kind) -> tuple[int, int]:
        smallest, largest = zip(*self.store.ask("search", "probes", kind), strict=True)
        return min(smallest), max(largest)

    def recalls(self, kind: Kind) -> Curve:
        """Return `(probe, recall@10)` of growing probes, the mean of the shards'."""
        curves = [np.array(curve) for curve in self.store.ask("search", "recalls", kind)]
        probes = sorted({int(probe) for curve in curves for probe in curve[:, 0]})
        means = np.mean([np.interp(probes, curve[:, 0], curve[:, 1]) for curve in curves], axis=0)
        return list(zip(probes, means.tolist(), strict=True))

    def warm(self) -> None:
        self.store.ask("search", "warm")

    def find(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        return ranked(self.store.ask("search", "find", queries, k, options, left_out), k, options)


def _read(place: str | os.PathLike[str]) -> tuple[str, Path, int | None]:
    match = _URL.fullmatch(os.fspath(place))
    if not match:
        raise DeepRankingError(
            "expected ray://local/FOLDER, ray://auto/FOLDER or ray://HOST:PORT/FOLDER, with an absolute "
            f"folder and perhaps ?shards=N, found {os.fspath(place)}"
        )
    return match["address"], Path(match["folder"]), int(match["shards"]) if match["shards"] else None


def _read_about(path: Path) -> tuple[object, int]:
    """Return the layout and the number of shards."""
    try:
        about = json.loads(path.read_bytes())
        layout, shards = about["layout"], about["shards"]
        if type(shards) is not int or not 0 < shards < 10_000:
            raise ValueError(f"{shards!r:.40} shards")
        return layout, shards
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise DeepRankingError(
            f"{path}: damaged ({reason(error)}); write into it "
            f'{{"layout": {LAYOUT}, "shards": N}}, N the number of folders beside it, or index anew'
        ) from error


def _folder(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:04}"
