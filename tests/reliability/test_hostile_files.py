"""Archives and images made to do harm, and odd ones that people have: bounded, counted, passed over."""

import io
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tasks import Pixels
from waiting import PATIENCE

from deep_ranking.datasets.archive import ArchiveError, open_archive
from deep_ranking.images.decode import ImageError, read_image, read_size, read_thumbnail
from deep_ranking.images.find import look_into
from deep_ranking.images.loader import load_batches
from deep_ranking.search import Index, update_index

ROOT = Path(__file__).parents[2]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is of any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def text_bomb() -> bytes:
    """A PNG with a compressed text of 200 MB."""
    data = saved(Image.new("RGB", (4, 4)), "PNG")
    bomb = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(200_000_000)))
    return data[:33] + bomb + data[33:]


def many_frames(kind: str, frames: int) -> bytes:
    pictures = [Image.new("L", (64, 64), number % 256).convert("P") for number in range(frames)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:])


@pytest.mark.parametrize(
    "size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (1, 2**31 - 1), (90_000_000, 1)]
)
def test_gigantic_images_are_refused_at_once(size):
    begin = time.process_time()
    for read in (read_image, read_size, lambda data: read_thumbnail(data, 10)):
        with pytest.raises(ImageError):
            read(png_of(*size))
    assert time.process_time() - begin < 2


BOUNDED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from deep_ranking.images.decode import ImageError, read_image
# Not `ru_maxrss`, which a process inherits from the one that started it.
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before = peak()
for path in sys.argv[1:]:
    try:
        read_image(path, (8, 8))
    except ImageError as error:
        print(path, error)
print((peak() - before) // 1024)
"""


def test_memory_stays_bounded_over_bombs_and_endless_animations(tmp_path):
    files = {
        "huge.png": png_of(100_000, 100_000),
        "text.png": text_bomb(),
        "long.gif": many_frames("GIF", 2000),
        "long.webp": many_frames("WEBP", 200),
        "cut.gif": many_frames("GIF", 200)[:300],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, *(str(tmp_path / name) for name in files)],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 200, done.stdout  # MB
    assert "huge.png: " in done.stdout


def test_of_an_animation_the_first_frame_is_taken():
    assert read_image(many_frames("GIF", 300)).max() == 0


def test_a_run_goes_on_past_what_cannot_be_read(tmp_path):
    sound = {
        "rgb.png": saved(Image.new("RGB", (9, 7), "red"), "PNG"),
        "one.png": saved(Image.new("RGB", (1, 1), "red"), "PNG"),
        "black.jpg": saved(Image.new("RGB", (9, 7)), "JPEG"),
        "cmyk.jpg": saved(Image.new("CMYK", (9, 7)), "JPEG"),
        "deep.png": saved(Image.fromarray(np.full((7, 9), 40_000, np.uint16)), "PNG"),
        "palette.png": saved(Image.new("RGB", (9, 7), "red").quantize(4), "PNG", transparency=0),
        "wide.png": saved(Image.new("L", (5000, 1)), "PNG"),
        "moving.gif": many_frames("GIF", 5),
    }
    broken = {
        "huge.png": png_of(100_000, 100_000),
        "cut.png": saved(Image.effect_noise((90, 70), 50), "PNG")[:600],
        "cut.jpg": saved(Image.effect_noise((90, 70), 50), "JPEG")[:300],
        "none.png": b"\x89PNG\r\n\x1a\n",
    }
    for name, data in (sound | broken).items():
        (tmp_path / "images" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(data)
    paths = [tmp_path / "images" / name for name in (sound | broken)]
    read = list(load_batches(paths, (4, 6), 5))
    assert sum(len(batch.images) for batch in read) == len(sound)
    failed = {paths[place].name for batch in read for place, _ in batch.failures}
    assert failed == set(broken)

    class Skipping(Pixels):
        def embed(self, paths, *, quiet=True):
            vectors, failures = [], []
            for path in paths:
                try:
                    vectors.append(read_image(path, (2, 2)).ravel() / np.float32(255))
                except ImageError as error:
                    failures.append((path, error))
            return np.array(vectors, np.float32).reshape(-1, 12), failures

    with Index.create(tmp_path / "index", 12, "pixels") as index:
        found = look_into(tmp_path / "images")
        report = update_index(index, tmp_path / "images", found.images, Skipping(), quiet=True)
        assert found.left_out.keys() | report.skipped.keys() == set(broken)
        assert report.embedded == len(sound)
        assert np.isfinite(index.snapshot.matrix).all()


def test_an_archive_with_a_name_in_no_encoding(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        made.writestr("é.txt", "x")
    (tmp_path / "a.zip").write_bytes(data.getvalue().replace("é".encode(), b"\xff\xfe"))
    with (
        pytest.raises(ArchiveError, match=r"a\.zip: expected a whole ZIP archive"),
        open_archive(tmp_path / "a.zip"),
    ):
        pass


def test_an_archive_with_a_member_without_a_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr(zipfile.ZipInfo(""), "x")
    with pytest.raises(ArchiveError, match="has no name"), open_archive(tmp_path / "a.zip"):
        pass


def test_an_archive_within_an_archive_is_a_file_like_any(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("bomb", bytes(50_000_000))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("inner.zip", inner.getvalue())
    with open_archive(tmp_path / "a.zip") as opened:
        assert sum(member.file_size for member in opened.infolist()) < 100_000
