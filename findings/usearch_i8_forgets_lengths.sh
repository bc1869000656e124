#!/bin/bash
# usearch with dtype="i8" and a metric for which lengths matter (l2sq, ip), searched exactly.
# Guessed before it was run: one scale for all, so that distances keep their order but for rounding; or numbers beyond -1..1 cut off.
# What comes: each vector is brought to the same length before it is rounded, whatever the metric, so lengths are forgotten:
# by "l2sq" 57% of the ten nearest are found by an exact search, by "ip" 78%, where "cos" finds 96%; a vector and a hundred times
# itself are at a distance of 0.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet usearch==2.26.6 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
import numpy as np, usearch
from usearch.index import Index

vectors = np.random.default_rng(0).normal(size=(1_000, 64)).astype(np.float32)
queries, lengths = vectors[:200], np.linalg.norm(vectors, axis=1)
products = queries @ vectors.T
true = {
    "cos": -products / lengths[:200, None] / lengths,
    "ip": -products,
    "l2sq": lengths[:200, None] ** 2 + lengths**2 - 2 * products,
}
print(f"usearch {usearch.__version__}; vectors of lengths {lengths.min():.1f} to {lengths.max():.1f}")
recall = {}
for metric, far in true.items():
    for dtype in ("f16", "i8"):
        index = Index(ndim=64, metric=metric, dtype=dtype)
        index.add(np.arange(1_000), vectors)
        found = index.search(queries, 10, exact=True)
        same = [len({hit.key for hit in hits} & set(np.argsort(line)[:10])) for hits, line in zip(found, far)]
        recall[metric, dtype] = sum(same) / 2_000
        print(f"{metric:4s} {dtype}: {recall[metric, dtype]:.3f} of the ten nearest")
index = Index(ndim=64, metric="l2sq", dtype="i8")
index.add(0, vectors[0] * 100)
apart = index.search(vectors[0], 1, exact=True)[0].distance
print(f"squared distance of a vector and a hundred times itself, by i8: {apart}")
good = all(recall[metric, "f16"] > 0.99 for metric in true) and recall["cos", "i8"] > 0.93
sys.exit(not (good and recall["l2sq", "i8"] < 0.65 and recall["ip", "i8"] < 0.85 and apart == 0))
P
