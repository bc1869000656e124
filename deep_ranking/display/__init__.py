"""Pictures in a notebook: search results, triplets, classes, and a training as it goes."""

from deep_ranking.display.live_curves import LiveCurves
from deep_ranking.display.pictures import Pictures
from deep_ranking.display.show import show

__all__ = ["LiveCurves", "Pictures", "show"]
