"""The image cache: the same pixels, however they are come by; within its limit; never torn."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deep_ranking.errors import DeepRankingError
from deep_ranking.images import cache as module
from deep_ranking.images.cache import ImageCache
from deep_ranking.images.decode import ImageError, read_image

SIZE = (24, 20)
BYTES = 3 * 24 * 20


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(3)
    (tmp_path / "images").mkdir()
    paths = [str(tmp_path / "images" / f"{i}.{'jpg' if i % 2 else 'png'}") for i in range(30)]
    for i, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 256, (30 + i, 50, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def decoded(monkeypatch):
    """The paths that were decoded, in order."""
    seen = []
    plain = module.decode.read_image
    monkeypatch.setattr(
        module.decode,
        "read_image",
        lambda source, size, name=None: seen.append(name or source) or plain(source, size, name),
    )
    return seen


@pytest.mark.parametrize("kept", [True, False])
def test_every_read_gives_what_decoding_gives(paths, tmp_path, decoded, kept):
    folder = tmp_path / "cache" if kept else None
    cache = ImageCache(SIZE, folder)
    for _ in range(3):
        for path in paths:
            np.testing.assert_array_equal(cache.read(path), read_image(path, SIZE))
    assert decoded == paths
    later = ImageCache(SIZE, folder)
    for path in paths:
        np.testing.assert_array_equal(later.read(path), read_image(path, SIZE))
    assert decoded == (paths if kept else paths + paths)


def test_the_content_counts_not_the_name(paths, tmp_path, decoded):
    ImageCache(SIZE, tmp_path / "cache").read(paths[0])
    stamp = Path(paths[0]).stat()
    Path(paths[0]).rename(tmp_path / "renamed.png")
    other = Path(paths[2]).read_bytes()
    Path(paths[0]).write_bytes(other)  # another image under the same name, of the same age
    os.utime(paths[0], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    cache = ImageCache(SIZE, tmp_path / "cache")
    np.testing.assert_array_equal(cache.read(paths[0]), read_image(paths[2], SIZE))
    cache.read(tmp_path / "renamed.png")
    assert decoded == [paths[0], paths[0]]


@pytest.mark.parametrize(
    ("part", "name", "other"), [(module.PIL, "__version__", "another"), (module.decode, "VERSION", -1)]
)
def test_sizes_and_decoders_do_not_mix(paths, tmp_path, decoded, monkeypatch, part, name, other):
    for size in ((24, 20), (20, 24), (8, 60)):  # all of as many pixels
        pixels = ImageCache(size, tmp_path / "cache").read(paths[1])
        np.testing.assert_array_equal(pixels, read_image(paths[1], size))
    monkeypatch.setattr(part, name, other)
    ImageCache((24, 20), tmp_path / "cache").read(paths[1])
    assert len(decoded) == 4


def test_an_image_that_cannot_be_read_is_an_error_each_time_with_its_name(paths, tmp_path):
    cache = ImageCache(SIZE, tmp_path / "cache")
    Path(paths[0]).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for path, message in ((paths[0], "0.png: cannot be read"), (str(tmp_path / "no.png"), "no such image")):
        for _ in range(2):
            with pytest.raises(ImageError, match=message):
                cache.read(path)


@pytest.mark.parametrize("kept", [True, False])
def test_it_stays_below_its_limit(paths, tmp_path, decoded, kept):
    cache = ImageCache(SIZE, tmp_path / "cache" if kept else None, gigabytes=10.5 * BYTES / 1e9)
    for _ in range(2):
        for path in paths:
            np.testing.assert_array_equal(cache.read(path), read_image(path, SIZE))
    assert decoded == paths + paths[10:]
    if kept:
        pixels = list((tmp_path / "cache").glob("*.pixels"))
        assert sum(path.stat().st_size for path in pixels) <= 10.5 * BYTES


def test_what_was_longest_unused_makes_room(paths, tmp_path):
    folder = tmp_path / "cache"
    size = (200, 200)  # whole blocks of the disk
    limit = 9 * 120_000 / 1e9

    def fill(height, age):
        cache = ImageCache((height, 200), folder, gigabytes=limit)
        for path in paths[:4]:
            cache.read(path)
        for keys in folder.glob(f"{height}x200-*.keys"):
            os.utime(keys, (time.time() - age,) * 2)

    for height, age in ((198, 50), (199, 100), (200, 0)):
        fill(height, age)
    kept = {path.name.partition("x")[0] for path in folder.iterdir()}
    assert kept == {"198", "200"}
    assert ImageCache(size, folder, gigabytes=limit).read(paths[0]).shape == (200, 200, 3)


def test_what_is_damaged_is_decoded_again(paths, tmp_path, decoded):
    cache = ImageCache(SIZE, tmp_path / "cache")
    for path in paths:
        cache.read(path)
    (pixels,) = (tmp_path / "cache").glob("*.pixels")
    (keys,) = (tmp_path / "cache").glob("*.keys")
    with pixels.open("r+b") as file:
        file.seek(5 * BYTES + 17)
        file.write(b"damage")
    os.truncate(keys, keys.stat().st_size - 7)  # the last entry is cut
    del decoded[:]
    later = ImageCache(SIZE, tmp_path / "cache")
    for path in paths:
        np.testing.assert_array_equal(later.read(path), read_image(path, SIZE))
    assert decoded == [paths[5], paths[29]]
    os.truncate(pixels, 3 * BYTES)
    del decoded[:]
    later = ImageCache(SIZE, tmp_path / "cache")
    for path in paths:
        np.testing.assert_array_equal(later.read(path), read_image(path, SIZE))


def test_many_threads_read_the_same_pixels(paths, tmp_path):
    expected = [read_image(path, SIZE) for path in paths]
    cache = ImageCache(SIZE, tmp_path / "cache", gigabytes=20 * BYTES / 1e9)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(cache.read, paths), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)


WRITER = """
import sys
from deep_ranking.images.cache import ImageCache
cache = ImageCache((24, 20), sys.argv[1])
print("ready", flush=True)
for path in sys.argv[2:] * 100:
    cache.read(path)
    cache._by_path.clear()
    cache._by_content.clear()  # so that it goes on writing
"""


def test_processes_share_a_folder_and_may_be_killed(paths, tmp_path, decoded):
    folder = tmp_path / "cache"
    for delay in (0.001, 0.01, 0.05):
        command = [sys.executable, "-c", WRITER, str(folder), *paths]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for writer in writers:
            assert writer.stdout.readline()
        time.sleep(delay)
        reader = ImageCache(SIZE, folder)
        for path in paths:
            np.testing.assert_array_equal(reader.read(path), read_image(path, SIZE))
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
    del decoded[:]
    later = ImageCache(SIZE, folder)
    for path in paths:
        np.testing.assert_array_equal(later.read(path), read_image(path, SIZE))
    assert decoded == []


def test_a_full_disk_ends_the_keeping_not_the_run(paths, tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    cache = ImageCache(SIZE, tmp_path / "cache")
    for _ in range(2):
        for path in paths[:4]:
            np.testing.assert_array_equal(cache.read(path), read_image(path, SIZE))
    assert [r.getMessage() for r in caplog.records] == [
        "the image cache takes no more images: [Errno 28] No space left on device"
    ]


def test_wrong_settings_are_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeepRankingError, match=r"file: cannot be used as the image cache \(File exists\)"):
        ImageCache(SIZE, tmp_path / "file")
    with pytest.raises(DeepRankingError, match="image_cache_size: expected 0 or more gigabytes, found -1"):
        ImageCache(SIZE, gigabytes=-1)
