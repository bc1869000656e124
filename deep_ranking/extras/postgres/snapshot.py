"""Search in the server: exact by a pass over the table, approximate by pgvector's graph."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deep_ranking.errors import DeepRankingError
from deep_ranking.files import as_text, path_key
from deep_ranking.search.approximate import Kind
from deep_ranking.search.image import folder_keys
from deep_ranking.search.options import Hit, Options
from deep_ranking.search.promise import (
    MEASURED,
    MOST_COPIES,
    NEAR,
    NEIGHBOURS,
    RECALL,
    Curve,
    chosen,
    grown_probe,
    recall_curve,
    usual_distance,
    warn_of_recall,
    worthwhile,
)
from deep_ranking.search.snapshot import Snapshot

if TYPE_CHECKING:
    from deep_ranking.extras.postgres.store import PostgresStore

LARGEST_GRAPH, LARGEST_HALF_GRAPH = 2_000, 4_000
"""Coordinates that a graph over `vector` takes, and one over `halfvec` (16 bits a coordinate)."""

_PROBES = (16, 1_000)  # pgvector's largest hnsw.ef_search
_HALF_CANDIDATES = 4  # times as many as asked for are ranked again by the whole vectors

# The hashes are as good as random, so their first are a sample. `+ 0` keeps the graph out of it.
_SAMPLED = "SELECT vector FROM vectors ORDER BY hash LIMIT 64"
_NEAREST = """
    SELECT hash, vector <-> %(query)s AS distance FROM vectors
    ORDER BY (vector <-> %(query)s) + 0 LIMIT %(limit)s"""

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
    ORDER BY distance + 0, path LIMIT {limit}"""
# A walk in relaxed order gives what comes late, too, which a strict one throws away; `+ 0` keeps the server
# from taking it for sorted.


class PostgresSnapshot(Snapshot):
    """The images of a server, as they are when a search comes.

    Distances are computed there in float32: images whose distances agree to six digits or more may come in
    either order.
    """

    store: "PostgresStore"
    kinds = ("hnsw",)
    remote = True

    def content(self, path: str) -> bytes | None:
        found = self.store.rows("SELECT hash FROM images WHERE path = %s", [path_key(path)])
        return found[0][0] if found else None

    def vector(self, content: bytes, as_given: bool = False) -> np.ndarray | None:
        query = "SELECT vector FROM vectors WHERE hash = %s AND EXISTS (SELECT 1 FROM images WHERE hash = %s)"
        found = self.store.rows(query, [content, content])
        return found[0][0].to_numpy() if found else None

    def labels(self) -> Mapping[str, int]:
        counts = self.store.rows("SELECT label, count(*) FROM images GROUP BY label")
        return {as_text(label): number for label, number in counts}

    def has_folder(self, folder: str) -> bool:
        query = "SELECT 1 FROM images WHERE path >= %s AND path < %s LIMIT 1"
        keys = folder_keys(folder)
        return keys is None or bool(self.store.rows(query, keys))

    def probes(self, kind: Kind) -> tuple[int, int]:
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
        if options.approximate and not self._make_graph():
            return [[] for _ in queries]
        return [self._find(query, k, options, left_out) for query in queries]

    def _find(
        self, query: np.ndarray, k: int | None, options: Options, left_out: Collection[bytes]
    ) -> list[Hit]:
        conditions, values = _conditions(options, left_out)
        values |= {"query": query, "identity": path_key(self.store.metadata["identity"])}
        probe = None
        if options.approximate and k is not None:
            probe = options.probe or self._grown_probe(k, options, conditions, values)
        if probe is not None and k is not None:
            hits = self._walk(k, probe, conditions, values)
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

    def _grown_probe(self, k: int, options: Options, conditions: str, values: dict[str, Any]) -> int | None:
        """Return the probe that was chosen, grown with a filter; None where an exact search is better."""
        probe, total, allowed = int(self.store.metadata["probe"]), 1, 1
        if options.labels is not None or options.folder is not None:
            found = f"count(*) FILTER (WHERE {conditions}), count(*)"
            query = f"SELECT {found} FROM images i JOIN vectors v USING (hash)"
            ((allowed, total),) = self.store.rows(query, values)
            if not worthwhile(allowed / max(1, total), probe / max(1, total)):
                return None
        grown = grown_probe(probe, k, allowed / max(1, total), graph=True)
        return grown if grown <= _PROBES[1] else None

    def _walk(self, k: int, probe: int, conditions: str, values: dict[str, Any]) -> list[Hit]:
        settings = {
            "hnsw.ef_search": str(min(max(probe, 1), _PROBES[1])),
            "hnsw.iterative_scan": "relaxed_order",
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

    def recalls(self, kind: Kind) -> Curve:
        """Return `(probe, recall@10)` of growing probes, of what lies as new images do."""
        return self._curve(MEASURED) if self._make_graph() else []

    def _curve(self, target: float) -> Curve:
        sample = [vector.to_numpy() for (vector,) in self.store.rows(_SAMPLED)]
        usual = usual_distance(np.array(sample))
        asked, rng = [], np.random.default_rng(0)
        for vector in sample:
            found = self.store.rows(_NEAREST, {"query": vector, "limit": MOST_COPIES + 1})
            beyond = [distance for _, distance in found if distance > NEAR * usual]
            if beyond:  # all others may be copies of it
                asked.append(_beside(vector, beyond[0], rng))

        def near(options: Options) -> list[np.ndarray]:
            found = (self._find(vector, NEIGHBOURS, options, ()) for vector in asked)
            return [np.array([hit.distance for hit in hits]) for hits in found]

        return recall_curve(
            near(Options()), lambda probe: near(Options(approximate="hnsw", probe=probe)), _PROBES, target
        )

    def _choose_probe(self) -> None:
        """Take the smallest probe that finds 97% of the ten nearest of what lies as new images do."""
        probe, recall = chosen(self._curve(RECALL), RECALL)
        warn_of_recall("hnsw", recall)
        self.store.write(metadata={"probe": str(probe)})


def _beside(vector: np.ndarray, distance: float, rng: np.random.Generator) -> np.ndarray:
    """Return what lies as far from a vector as its nearest, no copy, does, in a direction drawn.

    What is in the graph is too easy a question: the walk ends at it, and its links are its neighbours. A new
    image lies beside them, about so far from each.
    """
    step = rng.standard_normal(len(vector))
    moved = vector + step * (distance / np.linalg.norm(step))
    length = np.linalg.norm(moved)
    return (moved * (np.linalg.norm(vector) / length if length else 1)).astype(np.float32)


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
