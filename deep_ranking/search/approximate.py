"""Approximate nearest neighbours, by FAISS: clustered, and HNSW.

Clustered: k-means cuts the vectors into clusters; a query is compared with the centres, and then with the
vectors of the nearest clusters only. How many clusters (`probe`) is measured, not guessed. Above
`HIERARCHICAL` vectors the centres themselves are found through a graph, so their number costs little.

HNSW: a graph of near neighbours, walked greedily (Malkov and Yashunin, 2016); `probe` is the length of the
list of candidates that the walk keeps.

Either holds each distinct vector once, in an order drawn anew, and as 16 bits a coordinate; what is found is
ranked by the vectors themselves. Copies of one vector would be each other's nearest neighbours, so that no
link of the graph led from them to anything else; and a graph that took the rows as they come, class by class,
is a worse one.
"""

import io
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.files import read_arrays
from deep_ranking.search.cache import TRAILER
from deep_ranking.search.copies import Copies
from deep_ranking.search.exact import Exact, Rows, count, distances
from deep_ranking.search.promise import (
    NEIGHBOURS,
    Curve,
    HeldOut,
    chosen,
    grown_probe,
    nearest_images,
    recall_curve,
    worthwhile,
)

Kind = Literal["clustered", "hnsw"]
KINDS: tuple[Kind, ...] = ("clustered", "hnsw")

HIERARCHICAL = 1_000_000
"""With more vectors than this, the nearest clusters are found through a graph of their centres."""

_MORE = 4  # candidates beyond those asked for, since 16 bits may put near ones in another order
_LINKS = 32  # HNSW's M
_LARGEST = 4096  # candidates of HNSW
_TRAINING_VECTORS = 64  # for each centre; k-means gains little from more
_BLOCK = 1 << 15  # vectors added at once
_LENGTH = 8  # bytes that say how long what stands behind FAISS's part is


class Space(NamedTuple):
    """Where a structure's vectors lie: less their mean and scaled, so that 16 bits tell them well apart."""

    centre: NDArray[np.float32]
    scale: np.float32

    @classmethod
    def of(cls, matrix: NDArray[np.float32]) -> "Space":
        """Return one in which no coordinate is above 1."""
        centre = matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
        most = max(float(np.abs(end - centre).max(initial=0)) for end in (matrix.min(0), matrix.max(0)))
        return cls(centre, np.float32(1 / most if most > 0 else 1))

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (m, dimension) vectors as they lie there."""
        return (vectors - self.centre) * self.scale


class Approximate:
    """A built structure over all rows of a matrix.

    Args:
        matrix: (n, dimension) float32.
        structure: the FAISS index, over the distinct vectors.
        space: that they lie in there.
        copies: at which place in the structure each row's vector is.
        curve: the recall@10 of growing probes, measured by vectors that were not in it yet.

    Attributes:
        probe: clusters looked into (clustered), or candidates kept (HNSW), as it was chosen.
        largest_probe: the one that looks at everything; for HNSW, one that is hardly worth exceeding.
        recall: what was found with the probe.
    """

    def __init__(
        self, matrix: NDArray[np.float32], structure: Any, space: Space, copies: Copies, curve: Curve
    ):
        self._matrix, self._structure, self._space, self._copies = matrix, structure, space, copies
        self.curve = curve
        self._is_clustered = hasattr(structure, "nprobe")
        self.largest_probe = int(
            structure.nlist if self._is_clustered else min(_LARGEST, max(16, structure.ntotal))
        )
        self.probe, self.recall = chosen(curve)

    @classmethod
    def build(
        cls, kind: Kind, matrix: np.ndarray, earlier: Path | None = None, seed: int = 0
    ) -> "Approximate":
        """Build from a (n, dimension) float32 matrix, and measure.

        Args:
            kind: "clustered" or "hnsw".
            matrix: the vectors.
            earlier: a file of the same kind over similar vectors; its centres are used again if about as
                many vectors are there, which spares the k-means.
            seed: of the k-means, the order and the sample.

        Raises:
            MissingExtraError: FAISS is not installed.
        """
        faiss = _faiss()
        copies = Copies.of(matrix)
        distinct = copies.distinct(matrix)
        drawn = HeldOut.of(distinct, seed)
        order = np.random.default_rng(seed).permutation(np.flatnonzero(~drawn.held))
        there = cls._read(earlier) if kind == "clustered" and earlier is not None else None
        structure = _emptied(there[0], distinct) if there is not None else None
        space = there[1]["space"] if there is not None and structure is not None else Space.of(distinct)
        if kind == "hnsw":
            structure = faiss.IndexHNSWSQ(matrix.shape[1], faiss.ScalarQuantizer.QT_fp16, _LINKS)
            structure.hnsw.efConstruction = 2 * _LINKS
            structure.is_trained = True
        elif structure is None:
            structure = _clusters(distinct, order, space, seed)
        for start in range(0, len(order), _BLOCK):
            structure.add(space(distinct[order[start : start + _BLOCK]]))
        built = cls(distinct, structure, space, Copies.at(order), [(1, 1.0)])
        curve = built._measured(drawn, copies.times) if len(drawn.rows) else [(built.largest_probe, 1.0)]
        late = np.flatnonzero(drawn.held)
        if len(late):
            structure.add(space(distinct[late]))
        return cls(matrix, structure, space, copies.moved(np.concatenate([order, late])), curve)

    @classmethod
    def read(cls, path: Path, matrix: np.ndarray) -> "Approximate | None":
        """Read a structure that `write` wrote; None if it is not over this matrix."""
        if (there := cls._read(path)) is None:
            return None
        structure, about = there
        places = about["places"]
        if structure.d != matrix.shape[1] or len(places) != len(matrix):
            return None
        return cls(matrix, structure, about["space"], Copies(places, structure.ntotal), about["curve"])

    @staticmethod
    def _read(path: Path) -> tuple[Any, dict[str, Any]] | None:
        structure = _faiss().read_index(str(path))
        with path.open("rb") as file:
            end = path.stat().st_size - TRAILER - _LENGTH
            file.seek(end)
            length = int.from_bytes(file.read(_LENGTH), "little")
            if length > end:  # as an earlier layout has it
                return None
            file.seek(end - length)
            content = io.BytesIO(file.read(length))
        try:
            found = read_arrays(content)
            space = Space(found["centre"], np.float32(found["scale"]))
            curve = list(zip(found["probes"].tolist(), found["recalls"].tolist(), strict=True))
            return structure, {"space": space, "curve": curve, "places": found["places"]}
        except (DeepRankingError, KeyError, ValueError):
            return None

    def write(self, path: Path) -> None:
        """Write the structure in FAISS's format, and after it what else is known."""
        _faiss().write_index(self._structure, str(path))
        probes, recalls = zip(*self.curve, strict=True)
        content = io.BytesIO()
        np.savez(
            content, centre=self._space.centre, scale=self._space.scale, probes=np.array(probes),
            recalls=np.array(recalls), places=self._copies.places.astype(np.uint32),
        )  # fmt: skip
        with path.open("ab") as file:
            file.write(content.getvalue() + len(content.getvalue()).to_bytes(_LENGTH, "little"))

    @property
    def smallest_probe(self) -> int:
        """One cluster; for HNSW, a list that holds a few more than the neighbours looked for."""
        return 1 if self._is_clustered else 16

    def nearest(
        self, queries: np.ndarray, k: int, rows: Rows = None, probe: int | None = None
    ) -> list[np.ndarray]:
        """Return for each query rows that probably hold its `k` nearest, in no order, with a few more.

        Args:
            queries: (m, dimension) float32.
            k: how many; fewer may come back, even where there are more.
            rows: the rows that may be found.
            probe: other than the one chosen, which grows with `k` and the narrower the filter.
        """
        probe = self._grown(k, rows) if probe is None else probe
        probe = min(probe, self.largest_probe) if self._is_clustered else max(probe, k + _MORE)
        if rows is None:
            parameters = _kept_parameters(self._is_clustered, probe)
        else:
            parameters = _parameters(self._is_clustered, probe, self._selector(self._copies.places_of(rows)))
        wanted = min(k + _MORE, self._structure.ntotal)
        _, found = self._structure.search(self._space(queries), wanted, params=parameters)
        lines = found if found.min(initial=0) >= 0 else [line[line >= 0] for line in found]
        if self._copies.none:
            return [self._copies.firsts(line) for line in lines]
        return [self._spread(query, line, k, rows) for query, line in zip(queries, lines, strict=True)]

    def _spread(self, query: np.ndarray, places: np.ndarray, k: int, rows: Rows) -> np.ndarray:
        """Return the rows of the nearest places, each with all its copies, until there are `k`."""
        length = distances(self._matrix, self._copies.firsts(places), query)
        return self._copies.rows(places[np.argsort(length, kind="stable")], k, rows)

    def suits(self, k: int, rows: Rows) -> bool:
        """Tell whether this is worth while: below some share of the rows an exact search is faster."""
        total = len(self._matrix)
        share = 1.0 if rows is None else count(rows, total) / max(1, total)
        cost = self.probe / self._structure.nlist / 20 if self._is_clustered else 10 * self.probe / total
        beside = 1 if not isinstance(rows, slice) else 4 if self._is_clustered else 10
        fits = self._is_clustered or self._grown(k, rows) <= self.largest_probe
        return rows is None or (fits and worthwhile(share, cost * beside))

    def _grown(self, k: int, rows: Rows) -> int:
        total = len(self._matrix)
        return grown_probe(self.probe, k, count(rows, total) / max(1, total), not self._is_clustered)

    def _measured(self, drawn: HeldOut, times: NDArray[np.intp]) -> Curve:
        """Return the recall of growing probes, by vectors that are held out; of each there are `times`."""
        queries = np.ascontiguousarray(self._matrix[drawn.rows])

        def near(probe: int) -> list[np.ndarray]:
            found = self.nearest(queries, NEIGHBOURS, probe=probe)
            return [nearest_images(self._matrix, *one, times) for one in zip(queries, found, strict=True)]

        truth = drawn.truth(Exact(self._matrix), times)
        return recall_curve(truth, near, (self.smallest_probe, self.largest_probe))

    def _selector(self, places: np.ndarray) -> Any:
        chosen = np.zeros(self._structure.ntotal, bool)
        chosen[places] = True
        return _faiss().IDSelectorBitmap(np.packbits(chosen, bitorder="little"))


def _parameters(clustered: bool, probe: int, allowed: Any = None) -> Any:
    """Return what FAISS takes a probe and what may be found in."""
    if clustered:
        return _faiss().SearchParametersIVF(nprobe=probe, sel=allowed)
    return _faiss().SearchParametersHNSW(efSearch=probe, sel=allowed)


_kept_parameters = lru_cache(_parameters)  # they take as long to make as ten hits to rank


def _clusters(matrix: np.ndarray, order: np.ndarray, space: Space, seed: int) -> Any:
    total, dimension = matrix.shape
    coarse = f"_HNSW{_LINKS}" if total > HIERARCHICAL else ""
    centres = _centres(len(order))
    structure = _faiss().index_factory(dimension, f"IVF{centres}{coarse},SQfp16")
    structure.cp.seed = seed + 1
    structure.cp.niter = 10
    structure.cp.min_points_per_centroid = 1  # or it warns on standard error of few images
    structure.cp.max_points_per_centroid = _TRAINING_VECTORS
    structure.train(space(matrix[order[: centres * _TRAINING_VECTORS]]))
    return structure


def _centres(total: int) -> int:
    # FAISS asks for 39 vectors a centre; some sqrt(n) centres make both steps of a search cost alike.
    return max(1, min(int(4 * total**0.5), total // 39))


def _emptied(structure: Any, matrix: np.ndarray) -> Any:
    """Return an earlier structure's centres without its vectors, or None where they do not suit."""
    if structure.d != matrix.shape[1] or not 0.7 < structure.nlist / _centres(len(matrix)) < 1.4:
        return None
    structure.reset()
    return structure


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("faiss", "search", "approximate search") from None
    return faiss
