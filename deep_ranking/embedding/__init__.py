"""Images -> vectors."""

from deep_ranking.embedding.model import Embedded, Model

__all__ = ["Embedded", "Model"]
