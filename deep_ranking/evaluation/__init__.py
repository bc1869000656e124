"""How good are the embeddings? Metrics on NumPy arrays, of a model or of vectors from elsewhere."""

from deep_ranking.evaluation.evaluation import evaluate

__all__ = ["evaluate"]
