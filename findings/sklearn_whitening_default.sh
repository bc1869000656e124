#!/bin/bash
# scikit-learn's PCA(whiten=True), as it is by default, on float32 features whose spread goes from 1 down to a ten-thousandth.
# Guessed before it was run: whitened columns of spread 1, the last ones off by some per cent, as the arithmetic is float32's.
# What comes: where there are ten times as many images as numbers, `auto` takes the eigenvectors of the covariance matrix, formed in float32;
# the smallest variance is told as 0, and the column is divided by almost nothing: spread in the thousands, so that one number of noise is half of
# every squared distance. The same data in float64, and svd_solver="full" in float32, give spreads of 1.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
import numpy as np, sklearn
from sklearn.decomposition import PCA

rng = np.random.default_rng(0)
turn = np.linalg.qr(rng.normal(size=(64, 64)))[0]
features = (rng.normal(size=(2_000, 64)) * np.geomspace(1, 1e-4, 64)) @ turn + 0.3
print(f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}; 2,000 images, 64 numbers each")
last = {}
for dtype, solver in (("float32", "auto"), ("float32", "full"), ("float64", "auto")):
    pca = PCA(whiten=True, svd_solver=solver).fit(own := features.astype(dtype))
    white = pca.transform(own)
    distances = np.square(white[:1] - white[1:])
    share = (distances[:, -1] / distances.sum(axis=1)).mean()
    last[dtype, solver] = spread = float(white[:, -1].std())
    print(f"{dtype} {solver:4s}: spread of the last column {spread:,.3f}, its variance told as "
          f"{pca.explained_variance_[-1]:.3g}, its share of squared distances {share:.1%}")
fine = all(abs(last[how] - 1) < 0.1 for how in (("float32", "full"), ("float64", "auto")))
sys.exit(not (fine and last["float32", "auto"] > 100))
P
