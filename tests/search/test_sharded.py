"""What shards alone do: processes that die, folders that vanish, and answers put together."""

import os
import shutil
import signal
import sys
import threading

import numpy as np
import pytest
from samples import vectors_like_embeddings

from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.search import Index, Options
from deep_ranking.search.store import IndexExistsError

# A Ray cluster takes up to a minute to start.
pytestmark = pytest.mark.long

COUNT = 300
VECTORS = vectors_like_embeddings(COUNT, 6)
PATHS = [f"{number:03}.jpg" for number in range(COUNT)]


@pytest.fixture(scope="module")
def place(sharded_places):
    return sharded_places()


@pytest.fixture(scope="module")
def index(place):
    with Index.create(place, 6, "test") as index:
        index.add(PATHS, VECTORS, [str(number % 2) for number in range(COUNT)])
        yield index


def kill(index, number):
    """Kill the process of a shard, as the system does when memory runs out."""
    import ray

    actor = index.store._start()[number]
    os.kill(ray.get(actor.__ray_call__.remote(lambda self: os.getpid())), signal.SIGKILL)


def answers(index):
    return [index.search(query, 7, Options(label="1")) for query in VECTORS[:5]]


def test_each_shard_has_a_fair_share_and_the_nearest_of_all_are_found(index):
    shares = index.store.ask("count")
    assert sum(shares) == COUNT
    assert min(shares) > COUNT / 4
    for query, hits in zip(VECTORS, index.search_batch(VECTORS, 5), strict=True):
        right = np.argsort(np.linalg.norm(VECTORS.astype(float) - query, axis=1), kind="stable")[:5]
        assert [hit.path for hit in hits] == [PATHS[row] for row in right]


def test_a_killed_process_is_replaced_and_answers_again(index):
    before = answers(index)
    for number in (0, 1, 0):
        kill(index, number)
        assert answers(index) == before


def test_what_is_written_while_a_process_is_killed_is_all_there(index):
    new = [f"new {number}" for number in range(40)]

    def write():
        for path, vector in zip(new, VECTORS, strict=False):
            index.add([path], vector[None] + 5)

    thread = threading.Thread(target=write)
    thread.start()
    while len(index.store.images()) < COUNT + 10:
        assert thread.is_alive()
    kill(index, 0)
    thread.join()
    assert [image.path for image in index.store.images()] == PATHS + sorted(new)
    assert index.remove(new) == 40


def test_a_shard_whose_folder_is_gone_is_an_error_until_it_is_back(index):
    before, shard = answers(index), index.store.folder / "shard-0001"
    shard.rename(shard.with_name("away"))
    kill(index, 1)
    with pytest.raises(DeepRankingError, match=r"a shard cannot be used .* is its folder still there"):
        answers(index)
    shard.with_name("away").rename(shard)
    assert answers(index) == before


def put_back(backup, folder, only=""):
    """Restore shards from copies of their folders, as one does who ended what used them."""
    for shard in sorted(backup.glob(f"shard-*{only}")):
        shutil.rmtree(folder / shard.name)
        shutil.copytree(shard, folder / shard.name)


@pytest.mark.parametrize("ended", [True, False])
def test_put_back_from_a_backup_no_vector_is_of_the_lost_state(sharded_places, tmp_path, ended):
    """Where the processes that have the shards open were not ended, they say so."""
    place = sharded_places()
    with Index.create(place, 6, "test") as index:
        index.add(PATHS, VECTORS)
        folder, before = index.store.folder, index.store.version()
        shutil.copytree(folder, tmp_path / "backup")
        index.add(["new.jpg"], VECTORS[:1])
        lost = index.store.version()
        assert {hit.path for hit in index.search(VECTORS[0], 2)} == {PATHS[0], "new.jpg"}
        if not ended:
            put_back(tmp_path / "backup", folder)
            with pytest.raises(DeepRankingError, match="deleted or replaced while it was open"):
                index.search(VECTORS[0], 2)
            with pytest.raises(DeepRankingError, match="deleted or replaced while it was open"):
                index.add(["other.jpg"], VECTORS[:1])
    if ended:
        put_back(tmp_path / "backup", folder)
    with Index.open(place) as index:
        assert index.store.version() == before
        assert "new.jpg" not in [hit.path for hit in index.search(VECTORS[0], 2)]
        index.add(["new.jpg"], VECTORS[9:10])
        assert index.store.version() not in (before, lost)
        assert [hit.path for hit in index.search(VECTORS[9], 2)] == [PATHS[9], "new.jpg"]
        assert "new.jpg" not in [hit.path for hit in index.search(VECTORS[0], 2)]


def test_the_number_of_shards_is_settled_when_they_are_made(index, place):
    with pytest.raises(
        DeepRankingError, match=r"layout 1 in 5 shards, found layout 1 in 2; leave \?shards= out"
    ):
        Index.open(place.replace("shards=2", "shards=5"))
    with pytest.raises(IndexExistsError, match="there is an index already"):
        Index.create(place, 6, "test")
    with Index.open(place.partition("?")[0]) as other:
        assert len(other) == COUNT


def test_shards_are_not_made_among_other_files(ray_address, tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(DeepRankingError, match="expected a folder that is missing or empty"):
        Index.create(f"ray://{ray_address}{tmp_path}?shards=2", 6, "test")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    assert [path.name for path in tmp_path.parent.glob(f".{tmp_path.name}-*")] == []


@pytest.mark.parametrize(
    "place",
    ["ray://", "ray://local", "ray://local?shards=2", "ray:///x", "ray://local/x?shards=0", "ray://a/x?n=1"],
)
def test_urls_that_make_no_sense_are_refused(place):
    with pytest.raises(DeepRankingError, match=r"expected ray://local/FOLDER.*, found ray://"):
        Index.open(place)


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deep-ranking\[cluster\]'"):
        Index.create(f"ray://local{tmp_path}/index?shards=1", 6, "test")
