"""Approximate nearest neighbours, by FAISS: clustered, and HNSW.

Clustered: k-means cuts the vectors into clusters; a query is compared with the centres, and then exactly
with the vectors of the nearest clusters only. How many clusters (`probe`) is measured, not guessed. Above
`HIERARCHICAL` vectors the centres themselves are found through a graph, so their number costs little.

HNSW: a graph of near neighbours, walked greedily (Malkov and Yashunin, 2016); `probe` is the length of the
list of candidates that the walk keeps.

Either holds each distinct vector once. Copies of one vector would be each other's nearest neighbours, so that
no link of the graph led from them to anything else.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deep_ranking.errors import MissingExtraError
from deep_ranking.search.cache import TRAILER
from deep_ranking.search.copies import Copies
from deep_ranking.search.exact import Exact, Rows, distances

Kind = Literal["clustered", "hnsw"]
KINDS: tuple[Kind, ...] = ("clustered", "hnsw")

HIERARCHICAL = 1_000_000
"""With more vectors than this, the nearest clusters are found through a graph of their centres."""

PROMISED = 0.95
"""The recall@10 of an approximate search; where it cannot be had, that is said."""

RECALL = 0.98
"""The recall@10 that `probe` is chosen for, on a sample; above what is promised, to hold on others."""

SAMPLE = 256
NEIGHBOURS = 10
_ROUNDING = 1e-6  # a server's distances are float32
_LINKS = 32  # HNSW's M
_TRAINING_VECTORS = 64  # for each centre; k-means gains little from more


logger = logging.getLogger(__name__)


class Approximate:
    """A built structure over all rows of a matrix.

    Args:
        structure: the FAISS index, over the distinct vectors.
        copies: which rows have the same vector.
        recall: the recall@10 that was measured on a sample of the distinct vectors.
    """

    def __init__(self, structure: Any, copies: Copies, recall: float = 1.0):
        self._structure, self._copies, self.recall = structure, copies, recall

    @classmethod
    def build(
        cls, kind: Kind, matrix: np.ndarray, earlier: Path | None = None, seed: int = 0
    ) -> "Approximate":
        """Build from a (n, dimension) float32 matrix, and choose `probe`.

        Args:
            kind: "clustered" or "hnsw".
            matrix: the vectors.
            earlier: a file of the same kind over similar vectors; its centres are used again if about as
                many vectors are there, which spares the k-means.
            seed: of the k-means and of the sample.

        Raises:
            MissingExtraError: FAISS is not installed.
        """
        faiss = _faiss()
        copies = Copies.of(matrix)
        distinct = copies.distinct(matrix)
        if kind == "hnsw":
            structure = faiss.IndexHNSWFlat(matrix.shape[1], _LINKS)
            structure.hnsw.efConstruction = 2 * _LINKS
        else:
            structure = _emptied(earlier, distinct) or _clusters(distinct, seed)
        structure.add(distinct)
        built = cls(structure, Copies.none(len(distinct)))
        built.probe, recall = built._measured_probe(Exact(distinct), seed)
        return cls(structure, copies, recall)

    @classmethod
    def read(cls, path: Path, matrix: np.ndarray) -> "Approximate | None":
        """Read a structure that `write` wrote; None if it is not over this matrix."""
        structure = _faiss().read_index(str(path))
        count, dimension = matrix.shape
        if structure.d != dimension or structure.ntotal > count:
            return None
        copies = Copies.none(count) if structure.ntotal == count else Copies.of(matrix)
        if copies.count != structure.ntotal:
            return None
        recall = np.fromfile(path, np.float32, 1, offset=path.stat().st_size - TRAILER - 4)[0]
        return cls(structure, copies, float(recall))

    def write(self, path: Path) -> None:
        """Write the structure, with its `probe`, in FAISS's format, and after it the recall."""
        _faiss().write_index(self._structure, str(path))
        with path.open("ab") as file:
            file.write(np.float32(self.recall).tobytes())

    @property
    def probe(self) -> int:
        """Clusters looked into (clustered), or candidates kept (HNSW): more finds more, and takes longer."""
        return int(self._structure.nprobe if self._is_clustered else self._structure.hnsw.efSearch)

    @probe.setter
    def probe(self, value: int) -> None:
        if self._is_clustered:
            self._structure.nprobe = value
        else:
            self._structure.hnsw.efSearch = value

    @property
    def smallest_probe(self) -> int:
        """One cluster; for HNSW, a list that holds a few more than the neighbours looked for."""
        return 1 if self._is_clustered else 16

    @property
    def largest_probe(self) -> int:
        """The probe that looks at everything; for HNSW, one that is hardly worth exceeding."""
        return int(
            self._structure.nlist if self._is_clustered else min(4096, max(16, self._structure.ntotal))
        )

    def nearest(
        self, queries: np.ndarray, k: int, rows: Rows = None, probe: int | None = None
    ) -> list[np.ndarray]:
        """Return for each query up to `k` rows that are probably its nearest, in no order.

        Args:
            queries: (m, dimension) float32.
            k: how many; fewer may come back, even where there are more.
            rows: the rows that may be found.
            probe: other than the one chosen.
        """
        parameters = None  # as stored with the structure, which is the fastest to ask for
        if probe is not None or rows is not None or not self._is_clustered:
            faiss = _faiss()
            probe, allowed = self.probe if probe is None else probe, self._selector(self._copies.places(rows))
            if self._is_clustered:
                parameters = faiss.SearchParametersIVF(nprobe=min(probe, self._structure.nlist), sel=allowed)
            else:
                parameters = faiss.SearchParametersHNSW(efSearch=max(probe, k), sel=allowed)
        _, found = self._structure.search(queries, k, params=parameters)
        return [self._copies.rows(line[line >= 0], k, rows) for line in found]

    def _measured_probe(self, exact: Exact, seed: int) -> tuple[int, float]:
        """Return the smallest probe with a recall@10 of `RECALL` on a sample of the vectors, or the largest.

        They are distinct, so nobody's neighbours are copies of itself, which any search finds.
        """
        total = len(exact.matrix)
        sample = np.sort(np.random.default_rng(seed).choice(total, min(SAMPLE, total), replace=False))
        queries = np.ascontiguousarray(exact.matrix[sample])

        def near(found: list[np.ndarray]) -> list[np.ndarray]:
            return [
                np.sort(distances(exact.matrix, rows[rows != own], query))[:NEIGHBOURS]
                for query, own, rows in zip(queries, sample, found, strict=True)
            ]

        curve = recall_curve(
            near(exact.nearest(queries, NEIGHBOURS + 1)),
            lambda probe: near(self.nearest(queries, NEIGHBOURS + 1, probe=probe)),
            (self.smallest_probe, self.largest_probe),
        )
        return curve[-1]

    def _selector(self, rows: Rows) -> Any:
        if rows is None:
            return None
        if isinstance(rows, slice):
            return _faiss().IDSelectorRange(*rows.indices(self._structure.ntotal)[:2])
        chosen = np.zeros(self._structure.ntotal, bool)
        chosen[rows] = True
        return _faiss().IDSelectorBitmap(np.packbits(chosen, bitorder="little"))

    @property
    def _is_clustered(self) -> bool:
        return hasattr(self._structure, "nprobe")


def warn_of_recall(kind: Kind, recall: float) -> None:
    """Say so where an approximate search finds fewer of the nearest than is promised."""
    if recall < PROMISED:
        logger.warning(
            "approximate: %s finds %.1f%% of the ten nearest among these vectors, and %.0f%% are promised; "
            "search exactly, or by another kind",
            kind, 100 * recall, 100 * PROMISED,
        )  # fmt: skip


def recall_curve(
    truth: Sequence[np.ndarray],
    found: Callable[[int], Sequence[np.ndarray]],
    probes: tuple[int, int],
    target: float = RECALL,
) -> list[tuple[int, float]]:
    """Return `(probe, recall)` for growing probes, up to the first that reaches `target`.

    Recall is the mean share of the nearest neighbours found. A neighbour as near as the last counts, so ties
    do not matter.

    Args:
        truth: for each query, the distances of its nearest neighbours, ascending.
        found: gives, for a probe, the distances of what an approximate search finds.
        probes: the smallest and the largest.
        target: a recall.

    Example:
        >>> recall_curve([np.array([1.0, 2.0])], lambda probe: [np.array([1.0, 2.0][:probe])], (1, 5))
        [(1, 0.5), (2, 1.0)]
    """
    curve: list[tuple[int, float]] = []
    probe, largest_probe = probes
    while True:
        shares = [
            np.count_nonzero(near <= right[-1] * (1 + _ROUNDING)) / len(right) if len(right) else 1.0
            for near, right in zip(found(probe), truth, strict=True)
        ]
        curve.append((probe, min(1.0, float(np.mean(shares)))))
        if curve[-1][1] >= target or probe >= largest_probe:
            return curve
        probe = min(max(probe + 1, probe * 3 // 2), largest_probe)


def _clusters(matrix: np.ndarray, seed: int) -> Any:
    total, dimension = matrix.shape
    coarse = f"_HNSW{_LINKS}" if total > HIERARCHICAL else ""
    structure = _faiss().index_factory(dimension, f"IVF{_centres(total)}{coarse},Flat")
    structure.cp.seed = seed + 1
    structure.cp.niter = 10
    structure.cp.max_points_per_centroid = _TRAINING_VECTORS
    structure.train(matrix)
    return structure


def _centres(total: int) -> int:
    # FAISS asks for 39 vectors a centre; some sqrt(n) centres make both steps of a search cost alike.
    return max(1, min(int(4 * total**0.5), total // 39))


def _emptied(earlier: Path | None, matrix: np.ndarray) -> Any:
    """Return the earlier structure's centres without its vectors, or None where they do not suit."""
    if earlier is None:
        return None
    structure = _faiss().read_index(str(earlier))
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
