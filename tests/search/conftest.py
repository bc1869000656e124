"""What the tests of search share."""

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from memory_store import MemoryStore
from samples import PixelEmbedder
from waiting import wait_until

from deep_ranking.search import Index, register_store

# A shard is a process, which takes a second to start: by default, test_contract.py asks shards exactly, and
# test_sharded.py what is their own.
STORES = [
    "local",
    "memory",
    "postgres",
    *(pytest.param(kind, marks=pytest.mark.long) for kind in ("pooled", "sharded")),
]

try:
    import faiss

    faiss.omp_set_num_threads(1)  # its threads wait for each other on a core that another test has
except ImportError:
    pass


@pytest.fixture
def embedder():
    return PixelEmbedder()


@pytest.fixture(scope="session")
def local_places(tmp_path_factory):
    """Give a function that names a folder for an index, another each time."""
    return lambda: tmp_path_factory.mktemp("index")


@pytest.fixture(scope="session")
def memory_places():
    """Register a store from outside the package, and give a function that names places of it."""
    register_store("memory", MemoryStore)
    return (f"memory://{number}" for number in itertools.count()).__next__


@pytest.fixture(scope="session")
def pooled_places(postgres):
    """Start PgBouncer before the server, in transaction mode, and give a function that names places there."""
    if not (pgbouncer := shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")):
        pytest.skip("needs PgBouncer, Debian's package pgbouncer")
    address, _, server = postgres.partition("?host=")
    with tempfile.TemporaryDirectory(prefix="pool-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o777)
        # Two connections in turn: what one transaction leaves in its session, the next does not find.
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={server} user=postgres\n[pgbouncer]\nlisten_addr =\n"
            f"unix_socket_dir = {name}\nauth_type = any\npool_mode = transaction\n"
            "default_pool_size = 2\nmin_pool_size = 2\nserver_round_robin = 1\nserver_idle_timeout = 5\n"
        )
        user = ["-u", Path(server).owner()] if os.getuid() == 0 else []  # who reaches the server's socket
        log = (folder / "log").open("wb")
        with log, subprocess.Popen([pgbouncer, *user, "-q", folder / "pgbouncer.ini"], stderr=log) as process:
            wait_until(lambda: (folder / ".s.PGSQL.6432").exists(), "PgBouncer listens", process)
            yield (
                f"{address}?host={name}&port=6432&index=pooled_{number}" for number in itertools.count()
            ).__next__
            process.terminate()


@pytest.fixture
def no_network(monkeypatch):
    """Put the pixel embedder where the command line looks for the network's."""
    monkeypatch.setattr("deep_ranking.embedding.kept.open_encoder", lambda path, *how: PixelEmbedder())
    monkeypatch.setattr("deep_ranking.cli.shared.import_keras", lambda: None)
    for check in ("model", "model_of_index"):
        monkeypatch.setattr(f"deep_ranking.cli.checks.{check}", lambda *_, **__: None)


@pytest.fixture(params=STORES)
def store(request):
    """Run a test once for each kind of store."""
    return request.param


@pytest.fixture
def new_place(request):
    """Give a function that names places for indexes: folders, or of the store that is tested."""
    store = request.getfixturevalue("store") if "store" in request.fixturenames else "local"
    return request.getfixturevalue(f"{store}_places")


@pytest.fixture
def make_index(new_place):
    """Give a function that makes an index of vectors under paths `class c/number.jpg`."""
    opened = []

    def make(vectors: np.ndarray, labels: int = 3) -> Index:
        opened.append(index_of(new_place(), vectors, labels))
        return opened[-1]

    yield make
    for index in opened:
        index.close()


@pytest.fixture(scope="module")
def shared_indexes():
    indexes = {}
    yield indexes
    for index in indexes.values():
        index.close()


@pytest.fixture
def shared_index(shared_indexes, store, request):
    """As `make_index`; tests that ask the same of the same store get one index, and only read it."""

    def make(vectors: np.ndarray, labels: int = 3) -> Index:
        key = store, vectors.shape, vectors.tobytes(), labels
        if key not in shared_indexes:
            shared_indexes[key] = index_of(request.getfixturevalue("new_place")(), vectors, labels)
        return shared_indexes[key]

    return make


def index_of(place, vectors: np.ndarray, labels: int) -> Index:
    names = [f"class {i % labels}" for i in range(len(vectors))]
    index = Index.create(place, vectors.shape[1], "test")
    index.add([f"{name}/{i:06}.jpg" for i, name in enumerate(names)], vectors, names)
    return index
