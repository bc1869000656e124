"""The drawn set looks as its relevance file says, the same each time; its order within a class is true."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from deep_ranking.datasets.demo import (
    CATEGORIES,
    RELEVANCE_FILE,
    DemoSettings,
    appearance_distances,
    demo_appearances,
    draw_demo,
    read_relevance,
    within_class_triplets,
    write_relevance,
)
from deep_ranking.datasets.paint import ANGLES, SHAPES, SIZES, Appearance, paint
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import read_image
from deep_ranking.images.find import find_classes

SMALL = DemoSettings(images_per_class=3, size=32)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_layout(tmp_path):
    items = draw_demo(tmp_path / "dataset", SMALL, quiet=True)
    classes = find_classes(tmp_path / "dataset")
    assert set(classes) == set(CATEGORIES)
    assert len(CATEGORIES) == 8
    assert all(len(images) == 3 for images in classes.values())
    assert sorted(image for images in classes.values() for image in images) == sorted(i.path for i in items)
    assert read_image(tmp_path / "dataset" / items[0].path).shape == (32, 32, 3)
    assert read_relevance(tmp_path / "dataset" / RELEVANCE_FILE) == items


def test_the_same_settings_draw_the_same_bytes_and_others_do_not(tmp_path):
    drawn = []
    for name, settings in {
        "first": SMALL,
        "second": SMALL,
        "seed": dataclasses.replace(SMALL, seed=1),
        "part": dataclasses.replace(SMALL, part=1),
    }.items():
        draw_demo(tmp_path / name, settings, quiet=True)
        drawn.append(contents(tmp_path / name))
    first, second, *others = drawn
    assert first == second
    for other in others:
        assert first.keys() == other.keys()
        assert not set(first.values()) & set(other.values()), "no image of one set may be in the other"


def test_appearances_cover_their_ranges_evenly():
    items = demo_appearances(DemoSettings(images_per_class=10))
    assert len(items) == 80
    for category in CATEGORIES:
        hues, sizes, angles = np.array([item[2:] for item in items if item.category == category]).T
        for values, (low, high) in ((hues, (0, 360)), (sizes, SIZES), (angles, ANGLES)):
            steps = np.floor((values - low) / (high - low) * 10 + 1e-9)
            assert sorted(steps) == list(range(10))
        assert abs(np.corrcoef(hues, sizes)[0, 1]) < 0.9


@pytest.mark.parametrize(
    ("field", "value"), [("images_per_class", 1), ("size", 31), ("size", 1025), ("seed", -1)]
)
def test_bad_settings(field, value):
    with pytest.raises(DeepRankingError, match=rf"{field}: expected .*, found {value}"):
        DemoSettings(**{field: value})


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DeepRankingError, match="expected an empty folder"):
        draw_demo(tmp_path, SMALL, quiet=True)
    assert list(contents(tmp_path)) == ["mine.txt"]


def image_of(category: str, **changes: float) -> np.ndarray:
    """Paint with the same chance each time, so that only what `changes` says can differ."""
    look = Appearance("", category, **{"hue": 30.0, "size": 0.6, "angle": 0.0} | changes)
    return paint(look, 64, np.random.default_rng(4)).astype(float)


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_attribute_shows(category):
    """A step in hue, size or angle changes the picture, and the widest angles do not look the same."""
    plain = image_of(category)
    assert np.array_equal(plain, image_of(category))
    for changes in ({"hue": 120.0}, {"size": 0.75}, {"angle": 25.0}):
        assert np.abs(image_of(category, **changes) - plain).mean() > 2, changes
    widest = image_of(category, angle=ANGLES[0]), image_of(category, angle=ANGLES[1])
    assert np.abs(widest[0] - widest[1]).mean() > 2


@pytest.mark.parametrize("category", SHAPES)
def test_a_larger_shape_covers_more(category):
    """The picture with another hue differs just where the shape is."""
    covered = [
        (np.abs(image_of(category, size=size) - image_of(category, size=size, hue=210.0)).max(-1) > 12).mean()
        for size in (0.4, 0.6, 0.8)
    ]
    assert covered[0] < covered[1] < covered[2]
    assert covered[2] == pytest.approx(covered[0] * 4, rel=0.3)


def test_hues_are_spread_around_the_circle_in_every_class():
    """Colour tells nothing of the class."""
    items = demo_appearances(DemoSettings(images_per_class=12))
    for category in CATEGORIES:
        hues = np.deg2rad([item.hue for item in items if item.category == category])
        assert np.hypot(np.cos(hues).mean(), np.sin(hues).mean()) < 0.15


def plain_distance(a: Appearance, b: Appearance) -> float:
    turn = abs(a.hue - b.hue)
    turn = min(turn, 360 - turn) / 180
    size = (a.size - b.size) / (SIZES[1] - SIZES[0])
    angle = (a.angle - b.angle) / (ANGLES[1] - ANGLES[0])
    return (turn**2 + size**2 + angle**2) ** 0.5


def test_distances_against_a_plain_loop():
    items = demo_appearances(DemoSettings(images_per_class=5))[:7]
    expected = [[plain_distance(a, b) for b in items] for a in items]
    np.testing.assert_allclose(appearance_distances(items), expected, atol=1e-12)


@pytest.mark.parametrize("margin", [0.2, 0.5])
def test_within_class_triplets_are_true_and_clear(margin):
    items = demo_appearances(DemoSettings(images_per_class=8))
    known = {item.path: item for item in items}
    triplets = list(within_class_triplets(items, per_query=6, margin=margin, seed=2))
    for triplet in triplets:
        query, positive, negative = (known[path] for path in triplet)
        assert query.category == positive.category == negative.category
        assert len({query, positive, negative}) == 3
        assert plain_distance(query, negative) >= plain_distance(query, positive) + margin - 1e-9
    assert len(set(triplets)) == len(triplets)
    counts = {item.path: sum(triplet.query == item.path for triplet in triplets) for item in items}
    assert max(counts.values()) == 6


def test_all_triplets_there_are_when_more_are_asked_for():
    items = demo_appearances(DemoSettings(images_per_class=5))
    found = set(within_class_triplets(items, per_query=10**6, margin=0.3))
    expected = {
        (q.path, p.path, n.path)
        for q in items
        for p in items
        for n in items
        if q.category == p.category == n.category
        and len({q, p, n}) == 3
        and plain_distance(q, n) - plain_distance(q, p) >= 0.3
    }
    assert found == expected


def test_within_class_triplets_follow_the_seed():
    items = demo_appearances(DemoSettings(images_per_class=8))
    one, again, other = (list(within_class_triplets(items, 1, 0.01, seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_classes_too_small_or_alike_give_no_triplets():
    assert list(within_class_triplets([])) == []
    assert (
        list(within_class_triplets([Appearance("a", "x", 0, 0.5, 0), Appearance("b", "x", 9, 0.5, 0)])) == []
    )
    assert list(within_class_triplets([Appearance(name, "x", 0, 0.5, 0) for name in "abc"])) == []


@pytest.mark.parametrize("bad", [{"per_query": 0}, {"margin": 0}, {"margin": float("nan")}])
def test_bad_counts(bad):
    with pytest.raises(DeepRankingError, match="expected per_query >= 1 and margin > 0"):
        list(within_class_triplets([], **bad))


def test_relevance_file_keeps_any_name(tmp_path):
    items = [Appearance('a "b",\n写.png', "x,y", 1.5, 0.25, -3.0)]
    write_relevance(tmp_path / "r.csv", items)
    assert read_relevance(tmp_path / "r.csv") == items


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: expected path,class,hue,size,angle"),
        ("a,b\n", "line 1: expected path,class"),
        ("path,class,hue,size,angle\na,b,1,2,3\na,b,1,2\n", "line 3: expected a path, a class and three"),
        ("path,class,hue,size,angle\na,b,1,2,x\n", "line 2: expected"),
    ],
)
def test_bad_relevance_file(tmp_path, text, problem):
    (tmp_path / "r.csv").write_text(text)
    with pytest.raises(DeepRankingError, match=rf"r\.csv, {problem}"):
        read_relevance(tmp_path / "r.csv")
