"""The ranking layer: distances between embeddings and the losses on them. It does not know the network."""

MINING = ("all", "semi-hard", "hard")
"""Which triplets of a batch count; see `mining.mined`."""
