"""Batches of P classes x K images."""

import numpy as np

from deep_ranking.images.batches import LabelledBatches
from deep_ranking.images.decode import read_image
from deep_ranking.images.find import find_classes
from deep_ranking.triplets.table import LabelledImages
from deep_ranking.triplets.uniform import ClassBatches


def test_images_and_classes_of_each_batch_belong_together(striped_classes):
    (striped_classes / "across/0.png").unlink()  # 5, 6 and 6 images make deals of different lengths
    labelled = LabelledImages.of(find_classes(striped_classes), striped_classes)
    deals = ClassBatches(labelled.labels, classes_per_batch=2, images_per_class=2, seed=1)
    batches = LabelledBatches(labelled, deals, (20, 24))
    assert len({len(list(deals.epoch(epoch))) for epoch in range(20)}) > 1
    assert len(batches) == len(list(deals.epoch(0)))
    assert (batches.items, batches.items_per_batch) == (4 * len(batches), 4)
    for epoch in range(20):
        for index in range(len(batches)):
            positions, _ = batches.rows(epoch, index)
            (rows, images), labels = batches.batch(epoch, index)
            assert images.shape == (4, 20, 24, 3)
            assert labels.shape == (4, 1)
            np.testing.assert_array_equal(np.unique(labels, return_counts=True)[1], [2, 2])
            np.testing.assert_array_equal(labels[:, 0], labelled.labels[positions])
    for position, row in zip(positions, rows, strict=True):
        np.testing.assert_array_equal(images[row], read_image(labelled.images[position], (20, 24)))
