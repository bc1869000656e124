"""What a person or a program waits for, beside an earlier commit: a worktree of it, in one sitting.

    git worktree add --detach ../then 575afac
    python benchmarks/beside.py ../then [--only index exact ...] [--quick]

Seconds of processor time and peak memory of then and of now, in turns, the least of some rounds: what else
the machine does only adds. Each side makes its own model and indexes. Without a worktree this one is beside
itself.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from outcome import Outcome
from page_server import fetched, server
from photos import write_photos
from scale import parser
from timing import Cost, cost, cost_so_far

ROOT = Path(__file__).parents[1]
INDEXED = 40
ROUNDS = {"full": 5, "quick": 2, "tiny": 1}
GALLERIES = {"full": [(100_000, 512), (1_000_000, 512)], "quick": [(100_000, 128)], "tiny": [(1_000, 32)]}
MEASURED = {
    "full": [(100_000, 128, 1_024), (100_000, 512, 1_024)],
    "quick": [(20_000, 128, 256)],
    "tiny": [(1_000, 32, 64)],
}
MAKE = """
import sys
from deep_ranking.network.file import save_network
from deep_ranking.network.network import build_network
from deep_ranking.network.settings import NetworkSettings
save_network(build_network(NetworkSettings("mobilenetv2", 224, 256, low_resolution="none")), sys.argv[1], {})
"""
FILL = """
import sys
import numpy as np
from deep_ranking.search import Index
from search import like_embeddings, unit
place, count, width = sys.argv[1], *map(int, sys.argv[2:])
rng = np.random.default_rng(0)
drawn = like_embeddings(min(count, 100_000) + 25, width, rng)
np.save(f"{place}.npy", drawn[-25:])
drawn = drawn[:-25]
with Index.create(place, width, "benchmark") as index:
    for start in range(0, count, 100_000):  # of a million, nine tenths lie around the first portion
        noise = np.float32(0.02) * rng.standard_normal(drawn.shape, np.float32) if start else 0
        index.add([f"{start + i:08}.jpg" for i in range(len(drawn))], unit(drawn + noise))
    for query in drawn[:40]:  # after so many, rows are kept in eight bits too
        index.search(query, 10)
"""
# These print what ours takes of a processor and, where it has a rival in the same process, what that takes.
SEARCH = """
import sys, time
import numpy as np
from deep_ranking.search import Index
times = []
with Index.open(sys.argv[1]) as index:
    for query in np.load(f"{sys.argv[1]}.npy"):
        begin = time.process_time()
        index.search(query, 10)
        times.append(time.process_time() - begin)
print(min(times))
"""
EMBED = """
import sys, time
try:
    from deep_ranking import Model
except ImportError:
    from deep_ranking.embedding import Embedder as Model
model, paths, times = Model.load(sys.argv[1], "auto"), sys.argv[2:], []
for _ in range(4):
    begin = time.process_time()
    model.embed(paths, 32)
    times.append(time.process_time() - begin)
print(min(times) / len(paths))
"""
STEP = """
import sys, time
from training_step import batches, blogs_step, our_step
data = batches(3)
for step in our_step("bfloat16"), blogs_step():
    times = []
    for images, rows in data:
        begin = time.process_time()
        step(images, rows)
        times.append(time.process_time() - begin)
    print(min(times))
"""
NEIGHBOURS = """
import sys, time
from metrics import embeddings
from sklearn.neighbors import NearestNeighbors
try:
    from deep_ranking import nearest_neighbours
except ImportError:
    from deep_ranking.evaluation.metrics import neighbours as nearest_neighbours
count, width, queries = map(int, sys.argv[1:])
vectors, _ = embeddings(count, width)
some = vectors[:queries].copy()
theirs = NearestNeighbors(n_neighbors=100, algorithm="brute").fit(vectors)
for task in (lambda: nearest_neighbours(some, vectors, 100)), (lambda: theirs.kneighbors(some)):
    times = []
    for _ in range(3):
        begin = time.process_time()
        task()
        times.append(time.process_time() - begin)
    print(min(times))
"""


class Side:
    """A commit, and what it made.

    Args:
        tree: where it is checked out.
        root: a folder of its own.
        photos: JPEG files; some are indexed, others come one by one.
    """

    def __init__(self, tree: Path, root: Path, photos: list[Path]):
        self.tree, self.root, self.images, self._photos = tree, root, root / "images", iter(photos)
        self.images.mkdir(parents=True)
        self.add(INDEXED)

    def enter(self) -> None:
        """Make what runs from now on this commit's."""
        os.environ["PYTHONPATH"] = f"{self.tree}{os.pathsep}{self.tree / 'benchmarks'}"
        os.environ |= {"PYTHONSAFEPATH": "1", "DEEP_RANKING_CACHE": str(self.root / "kept")}

    @cached_property
    def model(self) -> str:
        path = str(self.root / "model.h5")
        cost("-c", MAKE, path)
        return path

    @cached_property
    def place(self) -> str:
        """The index of its images."""
        place = str(self.root / "index")
        self.command("index", "--index", place, "--images", str(self.images), "--model", self.model)
        return place

    def vectors(self, count: int, width: int) -> str:
        """Return an index of drawn vectors."""
        place = self.root / f"{count} x {width}"
        if not place.exists():
            cost("-c", FILL, str(place), str(count), str(width))
        return str(place)

    def new(self) -> str:
        """Return an image that it has not seen."""
        return str(next(self._photos))

    def add(self, count: int) -> None:
        """Put so many new images among those it indexes."""
        for _ in range(count):
            shutil.copy(self.new(), self.images)

    def command(self, *words: str) -> Cost:
        return cost("-m", "deep_ranking", *words)

    def similarity(self, *words: str, fails: bool = False) -> Cost:
        return cost(str(self.tree / "similarity.py"), *words, fails=fails)


@dataclass
class Row:
    """What is measured.

    Args:
        name: of it.
        act: does it once.
        goal: of then's time over now's, or of the rival's where there is one.
        memory: the goal of then's peak over now's.
        rounds: at the most.
        rival: what is measured in the same process, its figure second.
    """

    name: str
    act: Callable[[Side], Cost]
    goal: float | None = None
    memory: float | None = None
    rounds: int = 5
    rival: str = ""


def search(side: Side) -> Cost:
    return side.command("search", "--index", side.place, "--image", side.new())


def similarity(side: Side) -> Cost:
    known = str(next(side.images.iterdir()))
    return side.similarity("--model", side.model, "--image1", side.new(), "--image2", known)


def index(side: Side, new: int) -> Cost:
    place = side.place
    side.add(new)
    return side.command("index", "--index", place)


def page(side: Side) -> Cost:
    pid: list[int] = []
    with server(side.place, pid) as (host, port):
        fetched(f"http://{host}:{port}/")
        return cost_so_far(pid[0])


def missing(side: Side) -> Cost:
    return side.similarity("--model", side.model, "--image1", "gone", "--image2", "gone", fails=True)


def figure(program: str, *arguments: object) -> Cost:
    """Return what a program costs by its own account."""
    done = cost("-c", program, *map(str, arguments))
    return done._replace(seconds=float(done.said.split()[0]))


def rows(scale: str) -> Iterator[Row]:
    """Yield all that is measured."""
    yield Row("search, a new image", search, 10, 5)
    yield Row("similarity, a new image", similarity, 10, 5)
    yield Row("index, one new file", partial(index, new=1), 10, 5)
    yield Row("index, nothing new", partial(index, new=0), 10)
    yield Row("serve, until the page answers", page)
    yield Row("similarity.py --help", lambda side: side.similarity("--help"))
    yield Row("similarity.py, no such image", missing)
    for shape in GALLERIES[scale]:
        name = "exact search, {:,} x {}".format(*shape)
        yield Row(name, lambda side, shape=shape: figure(SEARCH, side.vectors(*shape)), 3, None, 4)
    yield Row(
        "embedding, MobileNetV2",
        lambda side: figure(EMBED, side.model, *sorted(side.images.iterdir())[:INDEXED]),
        1.5,
        rounds=4,
    )
    for count, width, queries in MEASURED[scale]:
        act = partial(figure, NEIGHBOURS, count, width, queries)
        yield Row(f"neighbours, {count:,} x {width}", lambda side, act=act: act(), 3, None, 3, "scikit-learn")
    if scale == "full":
        yield Row(
            "training step, VGG16 multi-scale", lambda side: figure(STEP), 5, None, 2, "the blog's step"
        )


def main() -> None:
    flags = parser(__doc__, "two rounds, smaller sizes, and no training")
    flags.add_argument("then", nargs="?", type=Path, default=ROOT, help="a worktree of the earlier commit")
    flags.add_argument("--only", nargs="+", default=[""], help="rows whose names have one of these words")
    asked = flags.parse_args()
    outcome = Outcome("beside")
    with tempfile.TemporaryDirectory() as folder:
        root, rounds = Path(folder), ROUNDS[asked.scale]
        names = write_photos(root / "photos", 400, INDEXED + 3 * (rounds + 1))
        photos = [root / "photos" / name for name in names]
        trees = {"then": asked.then.resolve(), "now": ROOT}
        sides = {name: Side(tree, root / name, photos) for name, tree in trees.items()}
        for row in rows(asked.scale):
            if any(word in row.name for word in asked.only):
                measure(row, sides, min(rounds, row.rounds), outcome)
    outcome.show()


def measure(row: Row, sides: dict[str, Side], rounds: int, outcome: Outcome) -> None:
    """Do it in turns, short ones once before anything counts, and tell of the least."""
    done: dict[str, list[Cost]] = {name: [] for name in sides}
    warm = int(row.rounds == ROUNDS["full"])
    for _ in range(rounds + warm):
        for name, side in sides.items():
            side.enter()
            done[name].append(row.act(side))
    then, now = (min(cost.seconds for cost in costs[warm:]) for costs in done.values())
    most, peak = (min(cost.megabytes for cost in costs[warm:]) for costs in done.values())
    print(f"{row.name}: {then:.4g} s, {most:.0f} MB then; {now:.4g} s, {peak:.0f} MB now", flush=True)
    outcome.add(row.name, "processor time of then over now's", then / now, None if row.rival else row.goal)
    if row.rival:
        rival = min(float(cost.said.split()[1]) for costs in done.values() for cost in costs)
        outcome.add(row.name, f"{row.rival}'s over now's", rival / now, row.goal)
    if row.memory:
        outcome.add(row.name, "peak memory of then over now's", most / peak, row.memory)


if __name__ == "__main__":
    main()
