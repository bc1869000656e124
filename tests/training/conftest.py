"""What the tests of training share."""

import pytest

from deep_ranking.images.find import find_classes
from deep_ranking.triplets.table import LabelledImages


@pytest.fixture
def labelled(striped_classes):
    return LabelledImages.of(find_classes(striped_classes), striped_classes)
