"""The validation split."""

import pytest

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets.uniform import split_images

CLASSES = {"a": list("abcdefghij"), "b": list("klmn"), "c": list("op"), "d": ["q"]}


def test_no_image_stands_on_both_sides_and_none_is_lost():
    training, validation = split_images(CLASSES, 0.3, seed=4)
    for name, images in CLASSES.items():
        held = validation.get(name, [])
        assert sorted(training[name] + held) == images
    assert {name: len(images) for name, images in validation.items()} == {"a": 3, "b": 2}


def test_the_order_of_the_images_does_not_matter():
    turned = {name: images[::-1] for name, images in CLASSES.items()}
    assert split_images(CLASSES, 0.3, 1) == split_images(turned, 0.3, 1)
    assert split_images(CLASSES, 0.3, 1) != split_images(CLASSES, 0.3, 2)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(DeepRankingError, match="above 0 and below 1"):
        split_images(CLASSES, share)


def test_too_few_images_are_refused():
    with pytest.raises(DeepRankingError, match="two classes or more with four images each, found 1"):
        split_images({"a": list("abcd"), "b": list("ef")}, 0.5)
