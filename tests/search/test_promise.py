"""What is promised is kept for images that are not in the index: among near-copies, under filters."""

import numpy as np
import pytest
from samples import vectors_like_embeddings
from test_copies import KINDS, recall

from deep_ranking.search import Index, Options
from deep_ranking.search.exact import Exact
from deep_ranking.search.measure import measure
from deep_ranking.search.promise import HeldOut

PICTURES, COPIES = 400, 10
DRAWN = vectors_like_embeddings(PICTURES + 200, 24)
QUERIES = DRAWN[PICTURES:]


def near_copies(vectors: np.ndarray, times: int, length: float) -> np.ndarray:
    """Return each vector so many times, moved by up to `length`."""
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((len(vectors) * times, vectors.shape[1]))
    noise *= length * rng.uniform(0.3, 1, (len(noise), 1)) / np.linalg.norm(noise, axis=1, keepdims=True)
    return (np.repeat(vectors, times, axis=0) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    pytest.importorskip("faiss")
    vectors = near_copies(DRAWN[:PICTURES], COPIES, 0.1)
    with Index.create(tmp_path_factory.mktemp("near"), 24, "test") as index:
        labels = [f"label {number * 20 // len(vectors)}" for number in range(len(vectors))]
        index.add([f"{number:05}.jpg" for number in range(len(vectors))], vectors, labels)
        yield index


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_new_images_find_what_is_promised_among_near_copies(index, kind, share):
    filters = {} if share == 1 else {"label": tuple(f"label {n}" for n in range(int(20 * share)))}
    right = index.search_batch(QUERIES, 10, **filters)
    assert recall(index.search_batch(QUERIES, 10, approximate=kind, **filters), right) >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_told_of_a_probe_is_what_new_images_get(index, kind):
    right = index.search_batch(QUERIES, 10)
    told = [one for one in measure(index.snapshot) if one.approximate == kind]
    for found in (told[0], told[-1]):
        options = Options(approximate=kind, probe=found.probe)
        got = recall(index.search_batch(QUERIES, 10, options), right)
        assert found.recall == pytest.approx(got, abs=0.05)  # of 200 and of 250 queries


def test_an_image_is_held_out_with_all_its_near_copies_and_no_others():
    pictures = np.random.default_rng(3).standard_normal((PICTURES, 40)).astype(np.float32)
    vectors = near_copies(pictures, COPIES, 0.5)  # others are five times as far, or farther
    drawn = HeldOut.of(vectors)
    assert len(drawn.rows) > 30
    pictures = drawn.rows // COPIES
    assert len(set(pictures)) == len(pictures)
    assert drawn.held.sum() <= len(vectors) // 8
    assert set(np.flatnonzero(drawn.held) // COPIES) == set(pictures)
    assert (np.bincount(pictures, minlength=PICTURES)[np.arange(len(vectors)) // COPIES] == drawn.held).all()
    times = np.arange(len(vectors)) % 3 + 1
    images = np.repeat(vectors[~drawn.held], times[~drawn.held], axis=0).astype(np.float64)
    for row, right in zip(drawn.rows, drawn.truth(Exact(vectors), times), strict=True):
        np.testing.assert_allclose(right, np.sort(np.linalg.norm(images - vectors[row], axis=1))[:10])


def test_of_images_with_copies_is_told_what_new_images_get_and_not_what_new_vectors_get(tmp_path):
    pytest.importorskip("faiss")
    vectors = vectors_like_embeddings(5_300, 24, seed=3)
    vectors, queries = np.repeat(vectors[300:], 4, axis=0), vectors[:300]
    with Index.create(tmp_path, 24, "test") as index:
        index.add([f"{number:05}.jpg" for number in range(len(vectors))], vectors)
        probe, told = index.snapshot.recalls("clustered")[1]
        options = Options(approximate="clustered", probe=probe)
        got = recall(index.search_batch(queries, 10, options), index.search_batch(queries, 10))
    assert told == pytest.approx(got, abs=0.03)


def test_a_class_that_is_drawn_together_is_no_picture_with_copies():
    centres = 10 * np.random.default_rng(0).standard_normal((5, 8))
    vectors = near_copies(centres.astype(np.float32), 400, 0.5)
    drawn = HeldOut.of(vectors)
    assert len(drawn.rows) == drawn.held.sum() == 250  # an eighth of all, each by itself


def test_pictures_are_drawn_and_not_their_copies():
    # Half of all rows are 20 pictures with 50 copies each: of 1,020 pictures these are few.
    vectors = np.concatenate([near_copies(DRAWN[:20], 50, 0.05), vectors_like_embeddings(1000, 24, seed=5)])
    drawn = HeldOut.of(vectors)
    assert np.count_nonzero(drawn.rows < 1000) <= 0.1 * len(drawn.rows)


def test_of_few_vectors_none_is_held_out():
    drawn = HeldOut.of(np.eye(7, dtype=np.float32))
    assert len(drawn.rows) == 0
    assert not drawn.held.any()
