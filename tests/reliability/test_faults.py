"""A full disk, a folder that cannot be written, files that vanish or change, a clock set back, two runs."""

import contextlib
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from tasks import Pixels

from deep_ranking.cli import main
from deep_ranking.datasets.archive import open_archive, unpack
from deep_ranking.datasets.folder import folder_written_whole
from deep_ranking.errors import DeepRankingError
from deep_ranking.extras.handmade.extract import Cache
from deep_ranking.files import WriteError, check_writable, temporary_beside, written_whole
from deep_ranking.images.find import find_images
from deep_ranking.ratings.store import RatingStore
from deep_ranking.search import Index, update_index
from deep_ranking.search.image import Image as Indexed
from deep_ranking.triplets import Triplet, read_triplets, write_triplets
from deep_ranking.vectors import Embeddings, write_embeddings

ROOT = Path(__file__).parents[2]
PLAIN = re.compile(r"\[Errno|Traceback|\.tmp")  # what no message may hold


@contextlib.contextmanager
def no_file_beyond(size: int):
    """Let no file grow beyond so many bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_demo(folder):
    with folder_written_whole(folder / "out") as made:
        (made / "a.bin").write_bytes(bytes(100_000))


def write_hdf5(folder):
    with written_whole(folder / "out") as temporary, h5py.File(temporary, "w") as file:
        file["x"] = np.ones(100_000)


WRITERS = {
    "triplets": lambda f: write_triplets(f / "out", [Triplet("q" * 200, "p" * 200, "n" * 200)] * 500),
    "embeddings": lambda f: write_embeddings(
        f / "out", Embeddings(np.array(["a.jpg"]), np.ones((1, 50_000), np.float32))
    ),
    "feature": lambda f: Cache(f / "out").put("abcdef", np.ones(50_000)),
    "folder": write_demo,
    "HDF5": write_hdf5,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_what_was_there_and_says_so(tmp_path, writer):
    write = WRITERS[writer]
    with no_file_beyond(10_000), pytest.raises(WriteError) as caught:
        write(tmp_path)
    assert re.search(
        r"out.*: cannot be written \((File too large|No space left on device)\)", str(caught.value)
    )
    assert not PLAIN.search(str(caught.value))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    write(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert before
    if writer != "folder":  # which is never overwritten
        with no_file_beyond(10_000), pytest.raises(WriteError):
            write(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_full_disk_while_an_index_is_written(tmp_path):
    images = [Indexed(f"{i}.jpg", bytes([i]) * 32, 1, 1, "") for i in range(40)]
    with Index.create(tmp_path / "index", 1000, "x") as index:
        index.store.write(images[:2], {image.hash: np.ones(1000) for image in images[:2]})
        assert len(index) == 2
        with (
            no_file_beyond(60_000),
            pytest.raises(DeepRankingError, match=r"store\.sqlite: SQLite cannot use"),
        ):
            index.store.write(images, {image.hash: np.ones(1000) for image in images})
        index.refresh()
        assert len(index) == 2
        index.store.write(images, {image.hash: np.ones(1000) for image in images})
        with no_file_beyond(60_000), pytest.raises(WriteError, match=r"vectors-.*npy: cannot be written"):
            index.store.snapshot()
        index.refresh()
        assert len(index) == 40


def test_a_full_disk_while_people_rate(tmp_path):
    with RatingStore(tmp_path / "r.sqlite") as store:
        store.add("Ann", "q", "a", "b", "a")
        with no_file_beyond(10_000), pytest.raises(DeepRankingError, match="SQLite cannot use it now"):
            [store.add("Bob", f"{number}", "a", "b", "a") for number in range(1000)]
        held = store.count()
        store.add("Cleo", "q", "a", "b", "a")
        assert store.count() == held + 1


FULL = """
import numpy as np
from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Index
from deep_ranking.search.image import Image
import sys
with Index.create(sys.argv[1], 30_000, "x") as index:
    images = [Image(f"{i}.jpg", bytes([i % 3]) * 32, 1, 1, "") for i in range(40)]
    index.store.write(images, {image.hash: np.ones(30_000) for image in images})
    try:
        len(index)
    except DeepRankingError as error:
        print(error)
"""


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_mapped_file_on_a_full_disk_is_an_error_and_no_bus_error(small_disk):
    """Three vectors of 120 KB are stored; forty images would take 4.8 MB of the mapped matrix."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, small_disk / "index"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert re.search(r"vectors-.*\.npy: cannot be written \(No space left on device\)", done.stdout)


WITHOUT_RIGHTS = """
import io, json, sys
from contextlib import redirect_stderr
from deep_ranking.cli import main
told = []
for command in json.loads(sys.argv[1]):
    with redirect_stderr(io.StringIO()) as error:
        status = main(command)
    told.append([status, error.getvalue()])
print(json.dumps(told))
"""


def test_without_the_right_to_write_or_read(tmp_path):
    """Modes do not bind root, so root gives up what it is above them by."""
    images = tmp_path / "images"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(images / name)
    closed = tmp_path / "closed"
    shutil.copytree(images, closed)
    (closed / "a").chmod(0)
    triplets = tmp_path / "t.txt"
    write_triplets(triplets, [Triplet("a/1.png", "a/2.png", "b/1.png")])
    with Index.create(tmp_path / "index", 2, "x") as index:
        index.add(["a.jpg"], [[0, 1]])
    locked = tmp_path / "locked"
    locked.mkdir()
    (tmp_path / "secret.txt").write_text("a,b,c\n")
    (tmp_path / "secret.txt").chmod(0)
    for path in (images, locked, tmp_path / "index", *images.iterdir()):
        path.chmod(0o555)
    commands = [
        ["sample", "--input_directory", images, "--output_directory", locked],
        ["sample", "--input_directory", images, "--output_directory", locked / "new"],
        ["sample", "--input_directory", closed, "--output_directory", tmp_path],
        ["prepare", "demo", "--output", locked / "demo", "--images_per_class", "2"],
        ["train", "--dataset", images, "--triplets", tmp_path / "secret.txt"],
        ["search", "--image", images / "a/1.png", "--index", tmp_path / "index"],
        ["ratings", "export", "--index", tmp_path / "index", "--output", locked / "r.txt"],
    ]
    like_others = []
    if os.getuid() == 0:
        like_others = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv, since modes do not bind root")
    done = subprocess.run(
        [
            *like_others,
            sys.executable,
            "-c",
            WITHOUT_RIGHTS,
            json.dumps([[*c, "--quiet"] for c in commands], default=str),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    (closed / "a").chmod(0o755)
    assert done.returncode == 0, done.stderr
    for command, (status, error) in zip(commands, json.loads(done.stdout), strict=True):
        assert status == 1, command
        assert error.splitlines()[-1].startswith(f"deep-ranking {command[0]}: error: "), (command, error)
        assert not PLAIN.search(error), error
    assert not list(locked.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file above"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path, kind):
    path = tmp_path / "x" if kind == "folder" else tmp_path / "x/y/model.h5"
    if kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "x").write_text("")
    with pytest.raises(WriteError) as caught:
        check_writable(path)
    assert str(caught.value).startswith(f"{path}: cannot be written there (")
    assert not PLAIN.search(str(caught.value))


def test_what_a_dead_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = temporary_beside(tmp_path / "a.h5")
    own.write_text("")
    left = tmp_path / own.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    left.write_text("")
    folder = tmp_path / f"{left.name}x".replace(".tmp.h5x", ".tmp")
    (folder / "inside").mkdir(parents=True)
    elsewhere = tmp_path / re.sub(r"\.[0-9a-f]{8}-", ".00000000-", left.name)
    elsewhere.write_text("")
    with written_whole(tmp_path / "b.txt") as temporary:
        temporary.write_text("b")
    assert sorted(tmp_path.iterdir()) == sorted([own, elsewhere, tmp_path / "b.txt"])


def test_any_length_of_name(tmp_path):
    for name in ("n" * 255, "ü" * 127, "x" * 250 + ".txt"):
        with written_whole(tmp_path / name) as temporary:
            temporary.write_text(name)
        assert (tmp_path / name).read_text() == name


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (2, 2), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


class Meddling(Pixels):
    """Does something to the images before it reads them."""

    def __init__(self, meddle):
        self.meddle = meddle

    def embed(self, paths, *, quiet=True):
        from deep_ranking.images.decode import ImageError, read_image

        self.meddle()
        vectors, failures = [np.zeros((0, 12), np.float32)], []
        for path in paths:
            try:
                vectors.append(read_image(path, (2, 2)).reshape(1, 12) / np.float32(255))
            except ImageError as error:
                failures.append((path, error))
        return np.concatenate(vectors), failures


def test_an_image_that_vanishes_while_it_is_indexed(tmp_path, images):
    with Index.create(tmp_path / "index", 12, "pixels") as index:
        listed = find_images(images)
        (images / "0.png").unlink()
        vanish = Meddling(lambda: (images / "1.png").unlink(missing_ok=True))
        report = update_index(index, images, listed, vanish, quiet=True)
        assert sorted(report.skipped) == ["0.png", "1.png"]
        assert {image.path for image in index.snapshot.images} == {"2.png", "3.png", "4.png", "5.png"}


def test_an_image_replaced_while_it_is_indexed_gets_no_vector_of_other_bytes(tmp_path, images):
    kept = (images / "3.png").read_bytes()

    def replace():
        Image.new("RGB", (2, 2), (250, 250, 250)).save(images / "3.png")

    with Index.create(tmp_path / "index", 12, "pixels") as index:
        report = update_index(index, images, find_images(images), Meddling(replace), quiet=True)
        assert list(report.skipped) == ["3.png"]
        assert "changed while it was read" in report.skipped["3.png"]
        (images / "old.png").write_bytes(kept)
        update_index(index, images, find_images(images), Pixels(), quiet=True)
        for path, red in {"3.png": 250, "old.png": 3}.items():
            row = [image.path for image in index.snapshot.images].index(path)
            assert round(float(index.snapshot.matrix[row, 0]) * 255) == red


def test_a_triplet_file_replaced_while_it_is_read_is_read_as_it_was(tmp_path):
    path = tmp_path / "t.txt"
    old, new = ([Triplet(f"{name}{i}", "p", "n") for i in range(5000)] for name in "on")
    write_triplets(path, old)
    reading = read_triplets(path)
    first = next(reading)
    write_triplets(path, new)
    assert [first, *reading] == old
    assert list(read_triplets(path)) == new


def test_an_index_that_is_deleted_while_it_is_open(tmp_path, images):
    with Index.create(tmp_path / "index", 12, "pixels") as index:
        update_index(index, images, find_images(images), Pixels(), quiet=True)
        assert len(index) == 6
        shutil.rmtree(tmp_path / "index")
        with pytest.raises(DeepRankingError, match=r"store\.sqlite"):
            index.add(["new.png"], np.ones((1, 12)))
    assert not Index.exists(tmp_path / "index")


def test_a_clock_set_back_hides_no_change(tmp_path, images):
    with Index.create(tmp_path / "index", 12, "pixels") as index:
        update_index(index, images, find_images(images), Pixels(), quiet=True)
        Image.new("RGB", (2, 2), (200, 0, 0)).save(images / "0.png")
        os.utime(images / "0.png", (0, 0))  # long before it was indexed
        assert update_index(index, images, find_images(images), Pixels(), quiet=True).embedded == 1
        assert index.snapshot.matrix[0, 0] == np.float32(200 / 255)


def test_a_clock_set_back_keeps_the_order_of_ratings(tmp_path, monkeypatch):
    with RatingStore(tmp_path / "r.sqlite") as store:
        for number, now in enumerate((100.0, 50.0, -1.0)):
            monkeypatch.setattr(time, "time", lambda now=now: now)
            store.add("Ann", f"{number}", "a", "b", "a")
        assert [rating.query for rating in store.ratings()] == ["0", "1", "2"]
        assert store.undo("Ann").query == "2"


TWICE = """
import sys
from deep_ranking.cli import main
sys.stdin.readline()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("task", ["sample", "demo"])
def test_two_runs_at_once_on_the_same_output(tmp_path, task):
    images = tmp_path / "images"
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(images / name)
    commands = {
        "sample": ["sample", "--input_directory", images, "--output_directory", tmp_path / "out"],
        "demo": ["prepare", "demo", "--output", tmp_path / "out", "--images_per_class", "2", "--size", "32"],
    }
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TWICE, *map(str, commands[task])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate()[1] for process in both]
    ended = sorted(process.returncode for process in both)
    if task == "sample":
        assert ended == [0, 0], errors
        assert len(list(read_triplets(tmp_path / "out/triplets.txt"))) == 4 * 1 * 2
    else:
        assert ended in ([0, 0], [0, 1]), errors
        assert "Traceback" not in "".join(errors)
        assert len(list((tmp_path / "out").glob("*/*.png"))) == 16
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]


def test_the_training_log_goes_over_no_other_table(tmp_path):
    from deep_ranking.evaluation.log import check_log

    path = tmp_path / "results.csv"
    check_log(path)
    path.write_text("epoch,loss\n0,1\n")
    check_log(path)
    for content in ("name,price\n", "", "ep"):
        path.write_text(content)
        with pytest.raises(DeepRankingError, match=r"results\.csv: the training's log goes there"):
            check_log(path)


@pytest.mark.parametrize("name", ["t.txt", "t.csv"])
def test_a_compressed_triplet_file_under_another_name_is_read(tmp_path, name):
    write_triplets(tmp_path / "t.txt.gz", [Triplet("a", "b", "c")])
    (tmp_path / "t.txt.gz").rename(tmp_path / name)
    assert list(read_triplets(tmp_path / name)) == [Triplet("a", "b", "c")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_triplet_file_in_another_encoding_says_so(tmp_path, encoding):
    (tmp_path / "t.txt").write_bytes("a.jpg,b.jpg,c.jpg\n".encode(encoding))
    with pytest.raises(DeepRankingError, match=r"t\.txt, line 1: .*save the file as UTF-8 text"):
        list(read_triplets(tmp_path / "t.txt"))


def test_names_that_are_not_utf8_come_back_from_json(tmp_path, capsys):
    """A byte that is not UTF-8 stands in JSON as \\udcXX; `os.fsencode` gives the name back."""
    name = os.fsdecode(b"caf\xe9")
    for number in range(4):
        path = tmp_path / name / f"{number % 2}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    flags = ["--output_directory", str(tmp_path / name), "--json", "--quiet"]
    assert main(["sample", "--input_directory", str(tmp_path / name), *flags]) == 0
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert Path(json.loads(printed)["files"][0]["path"]).is_file()


def test_an_archive_that_cannot_be_unpacked_for_want_of_room(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("a.bin", bytes(100_000))
    with (
        no_file_beyond(10_000),
        pytest.raises(WriteError, match=r"out: cannot be written \(File too large\)"),
        open_archive(tmp_path / "a.zip") as opened,
        folder_written_whole(tmp_path / "out") as folder,
    ):
        unpack(opened, {"a.bin": "a.bin"}, folder, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize(
    "text",
    ["", "[", "[" * 100_000, "[]", "{}", '{"layout": 1, "shards": "2"}', '{"layout": 1, "shards": -1}'],
)
def test_the_file_that_tells_of_shards_is_damaged(tmp_path, text):
    (tmp_path / "shards.json").write_text(text)
    with pytest.raises(DeepRankingError, match=r"shards\.json: damaged .* write into it"):
        Index.open(f"ray://local{tmp_path}")


def test_the_limit_raises_and_does_not_kill():
    """The tests above rest on it: Python ignores the signal, so that a write fails."""
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    assert errno.EFBIG
