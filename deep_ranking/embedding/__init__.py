"""Images -> vectors."""

from deep_ranking.embedding.model import Embedded, Model, load

__all__ = ["Embedded", "Model", "load"]
