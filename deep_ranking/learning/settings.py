"""How a map is learned from ratings; apart, so that `--help` needs no NumPy."""

from dataclasses import dataclass

from deep_ranking.settings import Settings, at_least, setting


@dataclass(frozen=True)
class LessonSettings(Settings):
    """How a map is learned from ratings.

    Args:
        directions: principal directions of the images that may be stretched.
        folds: of the cross-validation.
        seed: of the intervals.
    """

    directions: int = setting(128, "that may be stretched (default: {default})", at_least(1))
    folds: int = setting(5, "of the cross-validation (default: {default})", at_least(2))
    seed: int = setting(0, "of the intervals (default: {default})", at_least(0))
