"""How good are the embeddings? Metrics on NumPy arrays, embeddings from a file."""
