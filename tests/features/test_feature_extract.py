"""Features of many images: order, threads, cache, errors."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.extras.handmade import Feature
from deep_ranking.extras.handmade.extract import Cache, extract
from deep_ranking.images.decode import read_image


@dataclass(frozen=True)
class Mean(Feature):
    """The mean colour, and how often it was computed."""

    name: ClassVar[str] = "mean"
    calls: ClassVar[list[int]] = []
    scale: float = 1.0

    @property
    def dimension(self):
        return 3

    def compute(self, image):
        self.calls.append(1)
        return (image.mean(axis=(0, 1)) * self.scale).astype(np.float32)


@pytest.fixture(autouse=True)
def count():
    Mean.calls.clear()
    return Mean.calls


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_are_in_the_order_of_the_paths(image_paths, workers):
    vectors = extract(Mean(), image_paths, workers=workers, quiet=True)
    np.testing.assert_array_equal(vectors, [Mean().compute(read_image(path)) for path in image_paths])


def test_the_cache_is_by_content_and_settings(image_paths, tmp_path, count):
    cache = Cache(tmp_path / "cache")
    first = extract(Mean(), image_paths, cache, quiet=True)
    assert len(count) == 8
    moved = tmp_path / "elsewhere.png"
    moved.write_bytes(image_paths[3].read_bytes())
    np.testing.assert_array_equal(extract(Mean(), [moved], cache, quiet=True), first[3:4])
    assert len(count) == 8
    extract(Mean(scale=2), [moved], cache, quiet=True)
    assert len(count) == 9
    moved.write_bytes(image_paths[4].read_bytes())
    np.testing.assert_array_equal(extract(Mean(), [moved], cache, quiet=True), first[4:5])


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"rubbish", None])
def test_a_damaged_cache_file_is_computed_again(image_paths, tmp_path, count, damage):
    cache = Cache(tmp_path / "cache")
    first = extract(Mean(), image_paths[:1], cache, quiet=True)
    (file,) = (tmp_path / "cache").rglob("*.npy")
    if damage is None:
        np.save(file, np.zeros(4, np.float32))  # whole, but not this feature's
    else:
        file.write_bytes(damage)
    for _ in range(2):
        np.testing.assert_array_equal(extract(Mean(), image_paths[:1], cache, quiet=True), first)
    assert len(count) == 2


def test_the_cache_unpickles_nothing(tmp_path):
    cache = Cache(tmp_path)
    (tmp_path / "ab").mkdir()
    np.save(tmp_path / "ab" / "c.npy", np.array([{}], object), allow_pickle=True)
    assert cache.get("abc") is None


def test_what_cannot_be_read_is_named(image_paths, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(image_paths[0].read_bytes()[:50])
    for name in ("missing.jpg", "broken.jpg"):
        with pytest.raises(DeepRankingError, match=name):
            extract(Mean(), [image_paths[0], tmp_path / name], workers=2, quiet=True)


def test_no_image_gives_no_row():
    assert extract(Mean(), [], quiet=True).shape == (0, 3)


def test_workers_are_one_or_more(image_paths):
    with pytest.raises(DeepRankingError, match="workers: expected 1 or more, found 0"):
        extract(Mean(), image_paths, workers=0)
