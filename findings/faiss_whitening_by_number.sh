#!/bin/bash
# FAISS's whitening (PCAMatrix with eigen_power -0.5, "PCAW" in a factory string): how long are the vectors afterwards?
# Guessed before it was run: each coordinate has a variance of 1 over the vectors it was trained on, as scikit-learn's whitening gives.
# What comes: the sum of squares over them is 1, so the standard deviation is one over the root of their number: of a map
# trained on 1,000 vectors and one on 16,000, the same vector is four times as long by the first. Nearest neighbours within
# one map do not change; a threshold on distances, or vectors of two maps side by side, do.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet faiss-cpu==1.15.1 numpy==2.4.6 scikit-learn==1.9.1 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
import faiss, numpy as np, sklearn
from sklearn.decomposition import PCA

rng = np.random.default_rng(0)
vectors = (rng.normal(size=(16_000, 32)) * np.linspace(3, 1, 32)).astype(np.float32)
print(f"faiss {faiss.__version__}, scikit-learn {sklearn.__version__}")
lengths = {}
for number in (1_000, 16_000):
    by_matrix = faiss.PCAMatrix(32, 16, -0.5)
    by_matrix.train(vectors[:number])
    by_factory = faiss.index_factory(32, "PCAW16,Flat")
    by_factory.train(vectors[:number])
    by_factory.add(vectors[:number])
    inner = faiss.downcast_index(by_factory.index).reconstruct_n(0, number)
    theirs = PCA(16, whiten=True).fit(vectors[:number]).transform(vectors[:number])
    lengths[number] = [float(made.std(0).mean()) for made in (by_matrix.apply(vectors[:number]), inner, theirs)]
    matrix, factory, other = lengths[number]
    print(f"trained on {number:6,}: deviation of a coordinate: expected 1, came {matrix:.4f} (factory {factory:.4f}); scikit-learn {other:.4f}")
as_found = all(
    abs(made * number**0.5 - 1) < 0.02 for number, (*both, _) in lengths.items() for made in both
) and all(abs(other - 1) < 0.02 for *_, other in lengths.values())
sys.exit(not as_found)
P
