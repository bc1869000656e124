"""Images -> vectors."""

from deep_ranking.embedding.embedder import Embedded, Embedder

__all__ = ["Embedded", "Embedder"]
