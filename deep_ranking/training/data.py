"""What is learned from, as batches: the one place that tells triplets from images with classes."""

import logging

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.batches import ImageBatches, LabelledBatches, TripletBatches
from deep_ranking.images.cache import ImageCache
from deep_ranking.training.settings import TrainingSettings
from deep_ranking.triplets.table import LabelledImages, TripletSource
from deep_ranking.triplets.uniform import ClassBatches

logger = logging.getLogger(__name__)

Data = TripletSource | LabelledImages


def batches_of(
    data: Data, settings: TrainingSettings, workers: int, cache: ImageCache | None
) -> ImageBatches:
    """Return the batches that settings ask for.

    Raises:
        DeepRankingError: triplets where mining needs classes, classes where triplets are learned from, or
            too few classes.
    """
    size, mines = (settings.network.image_size,) * 2, settings.mining != "none"
    if isinstance(data, LabelledImages) != mines:
        wanted = "images with classes" if mines else "triplets"
        raise DeepRankingError(
            f"mining {settings.mining!r}: expected {wanted} to learn from, found {type(data).__name__}"
        )
    if isinstance(data, LabelledImages):
        deals = ClassBatches(
            data.labels, settings.classes_per_batch, settings.images_per_class, settings.seed
        )
        if len(deals.small_classes):
            logger.warning(
                "%d classes have fewer than %d images (--images_per_class) and take no part in training",
                len(deals.small_classes),
                settings.images_per_class,
            )
        return LabelledBatches(data, deals, size, workers, cache)
    return TripletBatches(
        data,
        settings.batch_size,
        size,
        shuffle=True,
        seed=settings.seed,
        distinct=True,
        workers=workers,
        cache=cache,
    )
