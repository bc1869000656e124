"""Does an approximate search find what it promises, whatever is in the gallery?

    python benchmarks/recall.py --archive tiny-imagenet-200.zip [--embeddings FILE] [--stores] [--quick]

Real embeddings: MobileNetV2 (DEEP_RANKING_WEIGHTS) of 20,000 training images of Tiny ImageNet and of 2,000 of
its validation images, which are the queries; 96 px, 256 principal components, unit length. Made once (ten
minutes of one core) and kept in FILE. Without an archive there is nothing to measure, and that is said.

Galleries: 20,000 distinct images; 5,000 with 4 copies each; 1,000 with 20; each image with 10 near-copies
(noise of 0.05 to 0.2 of the usual distance, as by saving a JPEG again), 200,000 in all; 15,000 and 5,000
copies of one. Each in three orders of its rows: by class, and shuffled twice. Filters: labels of 1, 5, 20 and
90% of the images, of whole classes and at random, and a folder. `--stores`: also PostgreSQL and two shards.

A row is the mean share of the ten nearest found, with the chosen probe: by identity, and by distance, where
an image as near as the tenth counts, as copies are. `told` is what `--measure` says of it. A row
is right where 0.95 were found, or a warning stood there; and what was told is within 0.02 of the truth.
"""

import logging
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from outcome import Outcome, print_json
from scale import parser
from search import like_embeddings

from deep_ranking import Index

K, COMPONENTS, SIDE = 10, 256, 96
CLASSES = 200
PROMISED, TOLD = 0.95, 0.02
SHARES = (0.01, 0.05, 0.2, 0.9)
FOLDERS = {"a": 0.01, "b": 0.05, "c": 0.2, "d": 0.74}
"""The share of the rows that lies in each."""


def embeddings(archive: str, kept: Path, per_class: int = 100, queries: int = 2000) -> np.ndarray:
    """Return (22,000, 1,280) float32: the training images, class by class, then those of validation."""
    if kept.exists():
        return np.load(kept)["vectors"]
    import deep_ranking as dr

    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".JPEG"))
        classes: dict[str, list[str]] = {}
        for name in names:
            classes.setdefault(name.split("/")[2] if "/train/" in name else "val", []).append(name)
        others = classes.pop("val")
        wanted = [name for some in classes.values() for name in some[:per_class]]
        wanted += others[:: max(1, len(others) // queries)][:queries]
        file.extractall(folder, wanted)
        settings = dr.NetworkSettings("mobilenetv2", image_size=SIDE, embedding_size=0, low_resolution="none")
        network = dr.build_network(settings)
        dr.load_weights(network, settings, os.environ.get("DEEP_RANKING_WEIGHTS", "imagenet"))
        model = dr.Model(network, engine=dr.make_engine("auto", network))
        vectors = model.encode([str(Path(folder, name)) for name in wanted])
    np.savez(kept, vectors=vectors)
    return vectors


def components(vectors: np.ndarray, of: int) -> np.ndarray:
    """Return the principal components of the first `of`, for all, at unit length."""
    centred = (vectors - vectors[:of].mean(axis=0)).astype(np.float64)
    axes = np.linalg.eigh(centred[:of].T @ centred[:of])[1][:, ::-1][:, :COMPONENTS]
    found = centred @ axes
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def galleries(
    vectors: np.ndarray, rng: np.random.Generator, size: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, vectors and classes; the vectors come class by class."""
    count = len(vectors)
    classes = np.arange(count) * CLASSES // count
    one, other = rng.integers(count, size=(2, 1000))
    usual = np.median(np.linalg.norm(vectors[one] - vectors[other], axis=1))
    yield f"{count} distinct", vectors, classes
    for copies in (4, 20):
        rows = np.repeat(np.sort(rng.choice(count, count // copies, replace=False)), copies)
        yield f"{count // copies} x {copies} copies", vectors[rows], classes[rows]
    rows = np.sort(rng.permutation(count)[: count * 3 // 4])
    rows = np.concatenate([rows, np.full(count - len(rows), rows[0])])
    yield f"{count * 3 // 4} and {count // 4} copies of one", vectors[rows], classes[rows]
    images = min(count, size // 10)
    rows = np.repeat(np.sort(rng.choice(count, images, replace=False)), 10)
    noise = rng.standard_normal((len(rows), len(vectors[0])), np.float32) * vectors.std(axis=0)
    lengths = usual * rng.uniform(0.05, 0.2, len(rows)) / np.linalg.norm(noise, axis=1)
    lengths[::10] = 0  # the image itself
    near = vectors[rows] + noise * lengths[:, None].astype(np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    yield f"{images} x 10 near-copies", near, classes[rows]


class Heard(logging.Handler):
    """Counts the warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())


def recalls(found: Sequence[list], right: Sequence[list]) -> tuple[float, float]:
    """Return the mean recall by identity and by distance."""
    pairs = [(f, r) for f, r in zip(found, right, strict=True) if r]
    same = [len({h.path for h in f} & {h.path for h in r}) / len(r) for f, r in pairs]
    near = [min(1.0, sum(h.distance <= r[-1].distance * (1 + 1e-6) for h in f) / len(r)) for f, r in pairs]
    return float(np.mean(same)), float(np.mean(near))


def filters(labels: dict[str, int], rng: np.random.Generator) -> Iterator[tuple[str, dict]]:
    """Yield options by name; whole classes are drawn, so a query's own may be among them or not."""
    for share in SHARES:
        names = rng.permutation(sorted(labels)).tolist()
        reached = np.cumsum([labels[name] for name in names]) >= share * sum(labels.values()) - 0.5
        yield f"labels of {share:.0%}", {"label": tuple(names[: int(reached.argmax()) + 1])}
    for folder in FOLDERS:
        yield f"folder of {FOLDERS[folder]:.0%}", {"folder": folder}


def made(place: str, vectors: np.ndarray, classes: np.ndarray, order: np.ndarray) -> Index:
    """Put the vectors into an index, its rows in this order; the first hundredth is one folder, and so on."""
    ends = np.cumsum([*FOLDERS.values()]) * len(vectors)
    folders = [[*FOLDERS][number] for number in np.searchsorted(ends, np.arange(len(vectors)), "right")]
    index = Index.create(place, vectors.shape[1], "benchmark")
    paths = [f"{folder}/{place:07}.jpg" for place, folder in enumerate(folders)]
    index.add(paths, vectors[order], [f"class {number}" for number in classes[order]])
    return index


def rows(name: str, index: Index, queries: np.ndarray, heard: Heard) -> Iterator[tuple]:
    """Yield a row of the table for each search there is and each filter."""
    exact: dict[str, list] = {}
    for kind in index.snapshot.kinds:
        heard.told.clear()
        start = time.process_time()
        index.search(queries[0], K, approximate=kind)
        seconds = time.process_time() - start
        some = {"all": {}, **dict(filters(dict(index.snapshot.labels()), np.random.default_rng(1)))}
        for case, options in some.items():
            if case not in exact:
                exact[case] = index.search_batch(queries, K, **options)
            found = index.search_batch(queries, K, approximate=kind, **options)
            same, near = recalls(found, exact[case])
            probe = probe_of(index, kind)
            said = np.nan if case != "all" else dict(index.snapshot.recalls(kind)).get(probe, np.nan)
            warned = any("promised" in line for line in heard.told)
            yield name, kind, case, probe, same, near, said, warned, seconds


def probe_of(index: Index, kind: str) -> int:
    """Return the probe that was chosen; of shards, the first's."""
    if "probe" in index.metadata:
        return int(index.metadata["probe"])
    if index.snapshot.remote:
        return 0
    return index.snapshot.approximate(kind).probe


@contextmanager
def places() -> Iterator[dict[str, str]]:
    """Give a place in each kind of store that searches for itself."""
    import stores

    with stores.places() as found:
        found.pop("folder")
        yield found


def main() -> None:
    flags = parser(__doc__, "one order of the rows, a tenth of the images")
    flags.add_argument("--archive", help="Tiny ImageNet")
    flags.add_argument(
        "--embeddings", default="embeddings.npz", help="where they are kept (default: %(default)s)"
    )
    flags.add_argument("--stores", action="store_true", help="PostgreSQL and shards too")
    flags.add_argument("--queries", type=int, default=2000, help="(default: %(default)s)")
    flags.add_argument("--only", default="", help="galleries whose name has this in it")
    flags.add_argument("--orders", type=int, default=3, help="of the rows (default: %(default)s)")
    flags.add_argument(
        "--size", type=int, default=200_000, help="rows of the near-copies (default: %(default)s)"
    )
    args = flags.parse_args()
    outcome = Outcome("recall")
    if args.scale == "tiny":
        vectors = like_embeddings(1100, 32, np.random.default_rng(0))
        count, queries, args.orders = 1000, 100, 1
    elif not (args.archive or Path(args.embeddings).exists()):
        print("skipped: real embeddings need --archive tiny-imagenet-200.zip")
        return print_json("recall", [])
    else:
        vectors, count, queries = embeddings(args.archive, Path(args.embeddings)), 20_000, 2_000
        if args.scale == "quick":
            vectors, count, queries = vectors[::10], count // 10, queries // 10
            args.orders = 1
        vectors = components(vectors, count)
    gallery, asked = vectors[:count], vectors[count : count + queries][:: max(1, queries // args.queries)]
    heard = Heard()
    logging.getLogger("deep_ranking").addHandler(heard)
    print(
        f"{'gallery, order, store':<52}{'search':<10}{'filter':<16}"
        f"{'probe':>6}{'same':>7}{'near':>7}{'told':>7}  warned     s"
    )
    for name, own, classes in galleries(gallery, np.random.default_rng(0), min(args.size, 10 * count)):
        if args.only not in name:
            continue
        for number in range(args.orders):
            order = np.arange(len(own)) if not number else np.random.default_rng(number).permutation(len(own))
            case = f"{name}, {'shuffled' if number else 'by class'} {number or ''}"
            with ExitStack() as stack:
                kept = {"": stack.enter_context(tempfile.TemporaryDirectory())}
                if args.stores and not number:
                    kept |= stack.enter_context(places())
                for store, place in kept.items():
                    index = stack.enter_context(made(place, own, classes, order))
                    for row in rows(f"{case} {store}".strip(), index, asked, heard):
                        show(row, outcome)
    outcome.show()


def show(row: tuple, outcome: Outcome) -> None:
    """Print a row, and keep what has a goal."""
    name, kind, case, probe, same, near, said, warned, seconds = row
    print(
        f"{name:<52}{kind:<10}{case:<16}{probe:>6}{same:>7.3f}{near:>7.3f}{said:>7.3f}"
        f"  {'yes' if warned else '':<6}{seconds:>6.1f}",
        flush=True,
    )
    outcome.add(f"{name}, {kind}, {case}", "recall@10", round(near, 4), None if warned else PROMISED)
    if not np.isnan(said):
        outcome.add(f"{name}, {kind}, {case}", "1 - |told - true|", round(1 - abs(said - near), 4), 1 - TOLD)


if __name__ == "__main__":
    main()
