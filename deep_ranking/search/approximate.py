"""Approximate nearest neighbours, by FAISS: clustered, and HNSW.

Clustered: k-means cuts the vectors into clusters; a query is compared with the centres, and then exactly
with the vectors of the nearest clusters only. How many clusters (`probe`) is measured, not guessed. Above
`HIERARCHICAL` vectors the centres themselves are found through a graph, so their number costs little.

HNSW: a graph of near neighbours, walked greedily (Malkov and Yashunin, 2016); `probe` is the length of the
list of candidates that the walk keeps.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from deep_ranking.errors import MissingExtraError
from deep_ranking.search.exact import Exact, Rows, distances

Kind = Literal["clustered", "hnsw"]
KINDS: tuple[Kind, ...] = ("clustered", "hnsw")

HIERARCHICAL = 1_000_000
"""With more vectors than this, the nearest clusters are found through a graph of their centres."""

RECALL = 0.98
"""The recall@10 that `probe` is chosen for, on a sample; above 0.95, so that 0.95 holds on other queries."""

SAMPLE = 256
NEIGHBOURS = 10
_ROUNDING = 1e-6  # a server's distances are float32
_LINKS = 32  # HNSW's M
_TRAINING_VECTORS = 64  # for each centre; k-means gains little from more


class Approximate:
    """A built structure over all rows of a matrix.

    Args:
        structure: the FAISS index.
    """

    def __init__(self, structure: Any):
        self._structure = structure

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
        if kind == "hnsw":
            structure = faiss.IndexHNSWFlat(matrix.shape[1], _LINKS)
            structure.hnsw.efConstruction = 2 * _LINKS
        else:
            structure = _emptied(earlier, matrix) or _clusters(matrix, seed)
        structure.add(matrix)
        built = cls(structure)
        built.probe = built._measured_probe(Exact(matrix), seed)
        return built

    @classmethod
    def read(cls, path: Path, shape: tuple[int, ...]) -> "Approximate | None":
        """Read a structure that `write` wrote; None if it is not over a matrix of this shape."""
        structure = _faiss().read_index(str(path))
        return cls(structure) if (structure.ntotal, structure.d) == shape else None

    def write(self, path: Path) -> None:
        """Write the structure, with its `probe`, in FAISS's format."""
        _faiss().write_index(self._structure, str(path))

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
            probe, allowed = self.probe if probe is None else probe, self._selector(rows)
            if self._is_clustered:
                parameters = faiss.SearchParametersIVF(nprobe=min(probe, self._structure.nlist), sel=allowed)
            else:
                parameters = faiss.SearchParametersHNSW(efSearch=max(probe, k), sel=allowed)
        _, found = self._structure.search(queries, k, params=parameters)
        return [line[line >= 0] for line in found]

    def _measured_probe(self, exact: Exact, seed: int) -> int:
        """Return the smallest probe with a recall@10 of `RECALL` on a sample of the vectors."""
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
        return curve[-1][0]

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
