"""What every sampler promises: a seed decides its triplets, they are legal, its inputs stay as they are."""

import copy
import inspect
import itertools

import numpy as np
import parts
import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.relevance import FeatureRelevance
from deep_ranking.triplets.settings import ImportanceSettings
from deep_ranking.triplets.table import LabelledImages

CLASSES = {
    name: [f"{name}/{number}" for number in range(size)]
    for name, size in zip("abcd", (9, 7, 5, 4), strict=True)
}
LABELS = np.repeat(np.arange(4), [9, 7, 5, 4])
FEATURES = np.random.default_rng(0).normal(size=(25, 3))

WANTED = {
    "classes": lambda: copy.deepcopy(CLASSES),
    "categories": lambda: LABELS.copy(),
    "labelled": lambda: LabelledImages.of(CLASSES, ""),
    "relevance": lambda: FeatureRelevance(LABELS, {"f": FEATURES.copy()}),
    "count": lambda: 200,
    "capacity": lambda: 6,
    "classes_per_batch": lambda: 2,
    "images_per_class": lambda: 3,
    "settings": lambda: ImportanceSettings(out_of_class_ratio=0.5),
}
"""What samplers are made of, by the name of the argument; one with another argument says it here."""


def is_sampler(kind):
    return "seed" in inspect.signature(kind).parameters and any(
        map(kind.__dict__.get, ("draw", "blocks", "epoch"))
    )


SAMPLERS = [
    kind
    for kind in parts.classes("triplets")
    if kind.__module__.startswith("deep_ranking.triplets") and is_sampler(kind)
]


def every(kinds):
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.__name__)


every_sampler = every(SAMPLERS)
every_source_of_epochs = every([kind for kind in SAMPLERS if hasattr(kind, "epoch")])
every_one_of_categories = every(
    [kind for kind in SAMPLERS if "categories" in inspect.signature(kind).parameters]
)


def arguments(kind, **given):
    names = [name for name in inspect.signature(kind).parameters if name not in ("seed", "totals", "copies")]
    made = {name: WANTED[name]() for name in names if name in WANTED}
    if kind.__name__ == "OnlineSampler":
        made.pop("relevance")  # a function there; it makes class labels by default, which have no inner order
        made["settings"] = ImportanceSettings(out_of_class_ratio=1)
    return {**made, **given}


def drawn(kind, epoch=0, **given):
    """All that a sampler draws, as rows of positions."""
    sampler = kind(**arguments(kind, **given))
    if hasattr(sampler, "epoch"):
        found = sampler.epoch(epoch)
        return np.asarray(found) if isinstance(found, np.ndarray) else np.stack([*found])
    if hasattr(sampler, "add"):
        sampler.add(np.arange(25), LABELS)
    if hasattr(sampler, "draw"):
        return sampler.draw(200)
    return np.concatenate([*sampler.blocks()])


def test_they_are_found():
    assert {"UniformSampler", "ImportanceSampler", "OnlineSampler", "OnlineTriplets", "ClassBatches"} <= {
        kind.__name__ for kind in SAMPLERS
    }


@every_sampler
def test_a_seed_decides_what_is_drawn(kind):
    first, again, other = (drawn(kind, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()


@every_sampler
def test_what_is_drawn_are_positions_and_legal(kind):
    found = drawn(kind, seed=1)
    assert found.ndim == 2
    assert len(found)
    assert np.issubdtype(found.dtype, np.integer)
    assert (found >= 0).all()
    assert (found < 25).all()
    if found.shape[1] == 3:
        query, positive, negative = found.T
        assert (query != positive).all()
        assert (query != negative).all()
        assert (positive != negative).all()
        assert (LABELS[query] == LABELS[positive]).all()
    else:  # a batch to mine in
        assert all(len(set(batch)) == len(batch) for batch in found.tolist())


@every_sampler
def test_what_it_was_given_is_as_it_was(kind):
    given = arguments(kind)
    before = copy.deepcopy(
        {name: value for name, value in given.items() if isinstance(value, dict | np.ndarray)}
    )
    drawn(kind, **given)
    for name, value in before.items():
        np.testing.assert_equal(given[name], value)
    np.testing.assert_array_equal(FEATURES, np.random.default_rng(0).normal(size=(25, 3)))


@every_source_of_epochs
def test_an_epoch_is_the_same_whenever_it_is_asked_for(kind):
    first, second, again = (drawn(kind, epoch=number, seed=2) for number in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert first.shape != second.shape or (first != second).any()


@pytest.mark.parametrize(
    "given",
    [
        {"classes": {}, "categories": np.zeros(0, int), "labelled": LabelledImages.of({}, "")},
        {
            "classes": {"a": ["a/1"]},
            "categories": np.zeros(1, int),
            "labelled": LabelledImages.of({"a": ["a/1"]}, ""),
        },
    ],
    ids=["empty", "one image"],
)
@every_sampler
def test_where_there_is_no_triplet_it_says_so(kind, given):
    labels = given["labelled"].labels
    names = inspect.signature(kind).parameters
    given = {name: value for name, value in given.items() if name in names}
    if "relevance" in names and kind.__name__ != "OnlineSampler":
        given["relevance"] = FeatureRelevance(labels, {"f": FEATURES[: len(labels)]})

    def of_a_stream():
        sampler = kind(**arguments(kind))
        sampler.add(np.arange(len(labels)), labels)
        sampler.draw(1)

    with pytest.raises(DeepRankingError):
        of_a_stream() if kind.__name__ == "OnlineSampler" else drawn(kind, **given)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
@every_one_of_categories
def test_categories_of_any_integers_contiguous_or_not(kind, dtype):
    strided = np.repeat(LABELS.astype(dtype), 2)[::2]
    np.testing.assert_array_equal(drawn(kind, categories=strided), drawn(kind))


@every_source_of_epochs
def test_threads_draw_what_one_alone_draws(kind):
    """Reading threads ask a source of triplets for its epochs at once."""
    from concurrent.futures import ThreadPoolExecutor

    sampler = kind(**arguments(kind))
    alone = [np.concatenate([np.ravel(part) for part in sampler.epoch(number)]) for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        numbers = [*range(4)] * 4
        found = [
            *threads.map(lambda n: np.concatenate([np.ravel(part) for part in sampler.epoch(n)]), numbers)
        ]
    for rows, expected in zip(found, itertools.cycle(alone), strict=False):
        np.testing.assert_array_equal(rows, expected)
