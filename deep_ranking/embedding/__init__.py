"""Images -> vectors. The names are fetched when first asked for: describing images needs no Keras."""

from typing import TYPE_CHECKING

from deep_ranking.door import lazy_names

if TYPE_CHECKING:
    from deep_ranking.embedding.model import Embedded, Model, load

__all__ = ["Embedded", "Model", "load"]

__getattr__, __dir__, _ = lazy_names(__name__, {"Embedded": "encoder", "Model": "model", "load": "model"})
