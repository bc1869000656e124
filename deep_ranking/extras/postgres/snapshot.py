"""Search in the server: exact by a pass over the table, approximate by pgvector's graph."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import as_text, path_key
from deep_ranking.search.approximate import Kind
from deep_ranking.search.image import folder_keys
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.promise import NEIGHBOURS, recall_curve, warn_of_recall
from deep_ranking.search.snapshot import Snapshot

if TYPE_CHECKING:
    from deep_ranking.extras.postgres.store import PostgresStore

LARGEST_GRAPH, LARGEST_HALF_GRAPH = 2_000, 4_000
"""Coordinates that a graph over `vector` takes, and one over `halfvec` (16 bits a coordinate)."""

_PROBES = (16, 1_000)  # pgvector's largest hnsw.ef_search
_HALF_CANDIDATES = 4  # times as many as asked for are ranked again by the whole vectors

# Queries that the probe is chosen on, each with all that have its vector, which any search finds. The hashes
# are as good as random, so their first are a sample.
_SAMPLED = """
    SELECT s.vector, array_agg(v.hash) FROM (SELECT vector FROM vectors ORDER BY hash LIMIT 64) AS s
    JOIN vectors v ON v.vector = s.vector GROUP BY s.vector"""

# OFFSET 0 keeps the subquery whole: each distance is computed once, and the graph is left alone.
_EXACT = """
    SELECT path, label, distance FROM (
        SELECT i.path, i.label, v.vector <-> %(query)s AS distance
        FROM vectors v JOIN images i USING (hash) WHERE {conditions} OFFSET 0
    ) AS every
    WHERE distance BETWEEN %(low)s AND %(high)s ORDER BY distance {direction}, path LIMIT {limit}"""
_GRAPH = """
    SELECT path, label, distance FROM (
        SELECT i.path, i.label, v.vector <-> %(query)s AS distance
        FROM vectors v JOIN images i USING (hash) WHERE {conditions}
        ORDER BY {nearness}, i.path LIMIT {candidates}
    ) AS nearest
    ORDER BY distance, path LIMIT {limit}"""


class PostgresSnapshot(Snapshot):
    """The images of a server, as they are when a search comes.

    Distances are computed there in float32: images whose distances agree to six digits or more may come in
    either order.
    """

    store: "PostgresStore"
    kinds = ("hnsw",)
    remote = True

    def content(self, path: str) -> bytes | None:
        """Return the content hash of an indexed image."""
        found = self.store.rows("SELECT hash FROM images WHERE path = %s", [path_key(path)])
        return found[0][0] if found else None

    def vector(self, content: bytes) -> np.ndarray | None:
        """Return the vector (dimension,) of the images with this content."""
        query = "SELECT vector FROM vectors WHERE hash = %s AND EXISTS (SELECT 1 FROM images WHERE hash = %s)"
        found = self.store.rows(query, [content, content])
        return found[0][0].to_numpy() if found else None

    def labels(self) -> Mapping[str, int]:
        """Return how many images each label has."""
        counts = self.store.rows("SELECT label, count(*) FROM images GROUP BY label")
        return {as_text(label): number for label, number in counts}

    def has_folder(self, folder: str) -> bool:
        """Tell whether there are images below a folder."""
        query = "SELECT 1 FROM images WHERE path >= %s AND path < %s LIMIT 1"
        keys = folder_keys(folder)
        return keys is None or bool(self.store.rows(query, keys))

    def probes(self, kind: Kind) -> tuple[int, int]:
        """Return the smallest and the largest length of the list of candidates."""
        self._make_graph()
        return _PROBES

    def warm(self) -> None:
        """Let the server count anew what is where, and choose the probe for what is there now."""
        with self.store.making() as database:
            database.execute("ANALYZE vectors, images")
        if self.store.rows("SELECT 1 FROM meta WHERE key = 'probe'"):
            self._choose_probe()

    def find(
        self, queries: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes] = ()
    ) -> list[list[Hit]]:
        """Return for each query its hits, as `search`; one statement a query."""
        if options.approximate and not self._make_graph():
            return [[] for _ in queries]
        return [self._find(query, k, options, left_out) for query in queries]

    def _find(
        self, query: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes]
    ) -> list[Hit]:
        conditions, values = _conditions(options, left_out)
        values |= {"query": query, "identity": path_key(self.store.metadata["identity"])}
        if options.approximate and k is not None:
            hits = self._walk(k, options.probe, conditions, values)
            if len(hits) == k:
                return [hit for hit in hits if options.within is None or hit.distance <= options.within]
        # Also where a walk found too few, as it may under a narrow filter.
        values |= {
            "low": options.beyond or 0.0,
            "high": float("inf") if options.within is None else options.within,
        }
        direction, limit = "DESC" if options.bottom else "ASC", "ALL" if k is None else k
        statement = _EXACT.format(conditions=conditions, direction=direction, limit=limit)
        return self._ask(statement, values)

    def _walk(self, k: int, probe: int | None, conditions: str, values: dict[str, Any]) -> list[Hit]:
        probe = int(self.store.metadata["probe"]) if probe is None else probe
        settings = {
            "hnsw.ef_search": str(min(max(probe, 1), _PROBES[1])),
            "hnsw.iterative_scan": "strict_order",
        }
        halved = self.store.dimension > LARGEST_GRAPH
        nearness = f"{self._graphed('v.vector')} <-> {self._graphed('%(query)s')}"
        statement = _GRAPH.format(
            conditions=conditions,
            nearness=nearness,
            limit=k,
            candidates=k * _HALF_CANDIDATES if halved else k,
        )
        return self._ask(statement, values, settings)

    def _ask(
        self, statement: str, values: dict[str, Any], settings: Mapping[str, str] | None = None
    ) -> list[Hit]:
        found = self.store.rows(statement, values, settings)
        if not found:
            self.store.check_identity()
        return [Hit(as_text(path), distance, as_text(label)) for path, label, distance in found]

    def _graphed(self, vector: str) -> str:
        """Return the expression that the graph is over."""
        return (
            f"{vector}::halfvec({self.store.dimension})" if self.store.dimension > LARGEST_GRAPH else vector
        )

    def _make_graph(self) -> bool:
        """Let the server build its graph, unless it is there; it then keeps it up to date itself.

        Returns:
            Whether there is a graph; there is none over no vectors.
        """
        if "probe" in self.store.metadata:
            return True
        if self.store.dimension > LARGEST_HALF_GRAPH:
            raise DeepRankingError(
                f"approximate: pgvector's graph takes {LARGEST_HALF_GRAPH:,} coordinates at most, found "
                f"{self.store.dimension:,}; search exactly, or train with a smaller --embedding_size"
            )
        if not self.store.rows("SELECT 1 FROM vectors LIMIT 1"):
            return False
        kind = "halfvec" if self.store.dimension > LARGEST_GRAPH else "vector"
        with self.store.making() as database:
            database.execute(
                "CREATE INDEX IF NOT EXISTS vectors_hnsw ON vectors"
                f" USING hnsw (({self._graphed('vector')}) {kind}_l2_ops)"
            )
            database.execute("ANALYZE vectors, images")
        self._choose_probe()
        return True

    def _choose_probe(self) -> None:
        """Take the smallest probe that finds 98% of the ten nearest of a sample."""
        sample = self.store.rows(_SAMPLED)

        def near(options: Options) -> list[np.ndarray]:
            found = (self._find(v.to_numpy(), NEIGHBOURS, options, set(same)) for v, same in sample)
            return [np.array([hit.distance for hit in hits]) for hits in found]

        curve = recall_curve(
            near(Options()), lambda probe: near(Options(approximate="hnsw", probe=probe)), _PROBES
        )
        warn_of_recall("hnsw", curve[-1][1])
        self.store.write(metadata={"probe": str(curve[-1][0])})


def _conditions(options: Options, left_out: Collection[bytes]) -> tuple[str, dict[str, Any]]:
    """Return what the images must fulfil, and the values named in it."""
    conditions = ["(SELECT value FROM meta WHERE key = 'identity') = %(identity)s"]
    values: dict[str, Any] = {}
    if options.labels is not None:
        conditions.append("i.label = ANY(%(labels)s)")
        values["labels"] = [path_key(label) for label in options.labels]
    if options.folder is not None and (keys := folder_keys(options.folder)):
        conditions.append("i.path >= %(first)s AND i.path < %(end)s")
        values |= {"first": keys[0], "end": keys[1]}
    if left_out:
        conditions.append("NOT v.hash = ANY(%(left_out)s)")
        values["left_out"] = list(left_out)
    return " AND ".join(conditions), values
