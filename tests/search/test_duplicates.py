"""Near-duplicates against all pairs, and the page."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deep_ranking.display.pictures import duplicates_page
from deep_ranking.errors import DeepRankingError
from deep_ranking.search import Group, Hit, Index, find_duplicates


def groups_by_all_pairs(vectors, threshold):
    """Join rows by a plain walk over all pairs."""
    group = list(range(len(vectors)))
    for i in range(len(vectors)):
        for j in range(i):
            if np.linalg.norm(vectors[i].astype(float) - vectors[j].astype(float)) <= threshold:
                group = [group[j] if g == group[i] else g for g in group]
    members = {}
    for row, g in enumerate(group):
        members.setdefault(g, []).append(row)
    return sorted(m for m in members.values() if len(m) > 1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 60), st.floats(0, 1.5), st.integers(0, 2**32 - 1))
def test_groups_are_those_of_all_pairs(tmp_path_factory, count, threshold, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, 3)).astype(np.float32)
    with Index.create(tmp_path_factory.mktemp("index"), 3, "test") as index:
        index.add([f"{row:03}" for row in range(count)], vectors)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("deep_ranking.search.duplicates._BLOCK", 7)
            groups = find_duplicates(index.snapshot, threshold, quiet=True)
    assert sorted([int(image.path) for image in g.images] for g in groups) == groups_by_all_pairs(
        vectors, threshold
    )
    sizes = [len(g.images) for g in groups]
    assert sizes == sorted(sizes, reverse=True)


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
