"""Near-duplicates by vectors and by pixels, against plain walks, and the page."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deep_ranking.display.pictures import duplicates_page
from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Group, Hit, Index, find_duplicates
from deep_ranking.search.image import Image as IndexedImage


def groups_around_the_kept(vectors, sizes, threshold):
    """Cut groups by a plain walk: the largest file takes all that is near it, then the next."""
    left, groups = sorted(range(len(vectors)), key=lambda row: (-sizes[row], row)), []
    while left:
        apart = [np.linalg.norm(vectors[row].astype(float) - vectors[left[0]].astype(float)) for row in left]
        groups.append([row for row, distance in zip(left, apart, strict=True) if distance <= threshold])
        left = [row for row in left if row not in groups[-1]]
    return {rows[0]: sorted(rows) for rows in groups if len(rows) > 1}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 60), st.floats(0, 1.5), st.integers(0, 2**32 - 1))
def test_groups_are_those_around_the_largest_files(tmp_path_factory, count, threshold, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (count, 3)).astype(np.float32) * rng.choice([1, 0.3], (count, 1))
    vectors = vectors.astype(np.float32)
    sizes = rng.integers(1, 5, count).tolist()
    images = [IndexedImage(f"{row:03}", bytes([row]) * 32, size, 1) for row, size in enumerate(sizes)]
    with Index.create(tmp_path_factory.mktemp("index"), 3, "test") as index:
        index.write(images, {image.hash: vector for image, vector in zip(images, vectors, strict=True)})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("deep_ranking.search.duplicates._BLOCK", 7)
            groups = find_duplicates(index.snapshot, threshold, quiet=True)
    found = {int(group.keep): [int(image.path) for image in group.images] for group in groups}
    assert found == groups_around_the_kept(vectors, sizes, threshold)
    lengths = [len(group.images) for group in groups]
    assert lengths == sorted(lengths, reverse=True)


def test_a_chain_is_cut(make_index):
    index = make_index(np.arange(5, dtype=np.float32)[:, None], labels=1)
    groups = find_duplicates(index.snapshot, 1, quiet=True)
    assert [[image.path[-5] for image in group.images] for group in groups] == [["0", "1"], ["2", "3"]]
    assert all(image.distance <= 1 for group in groups for image in group.images)


def test_distances_far_below_the_rounding_of_float32_products_are_told_apart(make_index):
    centre = np.full(100, 0.1)
    index = make_index(
        np.stack([centre, centre + 1e-6, centre + 4e-6, centre * -1]).astype(np.float32), labels=1
    )
    (group,) = find_duplicates(index.snapshot, 1.5e-5, quiet=True)
    assert [image.path[-5] for image in group.images] == ["0", "1"]
    assert group.images[1].distance == pytest.approx(1e-5, rel=0.02)
    assert group.copies == frozenset()


@pytest.mark.parametrize("threshold", [-1, float("nan")])
def test_a_threshold_that_is_no_distance_is_refused(make_index, threshold):
    with pytest.raises(DeepRankingError, match="within: expected a distance"):
        find_duplicates(make_index(np.eye(3)).snapshot, threshold)


def test_a_page_escapes_names_and_says_when_there_is_nothing(tmp_path):
    image = Hit("<script>&.png", 0.25, "")
    Image.new("RGB", (8, 8)).save(tmp_path / image.path)
    page = "".join(duplicates_page([Group((image, image), frozenset())], 0.5, str(tmp_path)))
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert "<script>" not in page
    assert "&lt;script&gt;&amp;.png" in page
    assert "There are none" not in page
    assert "There are none" in "".join(duplicates_page([], 0.5, ""))
