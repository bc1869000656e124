#!/bin/bash
# metric-learn's LSML learns from "a is nearer to b than to c". What does it learn about embeddings of unit length, which most networks give?
# Guessed before it was run: about what it learns of the same vectors at any other length, as answers about which is nearer do not
# change with it, and there is no setting that would weigh them (SCML, beside it, was expected to be the one that depends on length).
# What comes: of unit vectors, from 2,000 answers, next to nothing: the matrix stays within a hundredth of the identity, and new answers are
# ranked as before (+0.1 points); the same vectors a hundred times as long: +22. A mean of squared differences
# of distances is added to a LogDet divergence from the prior with the weight 1, and there is no argument for that weight; at unit length the
# first is a thousandth. It ends by its tolerance and nothing is said. SCML ranks them right at both lengths.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet metric-learn==0.7.0 scikit-learn==1.5.2 numpy==2.2.6 2>/dev/null
"$T/venv/bin/python" -W ignore <<'P'
import importlib.metadata, sys
import numpy as np
from metric_learn import LSML, SCML

rng = np.random.default_rng(0)
vectors = rng.normal(size=(300, 16))
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
meant = vectors * np.where(np.arange(16) < 2, 4.0, 1.0)  # who answers counts two of sixteen numbers four times

def squares(points, one, other, matrix=None):
    apart = points[one] - points[other]
    return np.einsum("nd,de,ne->n", apart, np.eye(16) if matrix is None else matrix, apart)

def answers(count):
    rows = np.array([rng.choice(300, 3, replace=False) for _ in range(count)])
    wrong = squares(meant, rows[:, 0], rows[:, 1]) > squares(meant, rows[:, 0], rows[:, 2])
    rows[wrong] = rows[wrong][:, [0, 2, 1]]
    return rows

learned, new = answers(2000), answers(5000)
def right(points, matrix=None):
    return 100 * np.mean(squares(points, *new[:, [0, 1]].T, matrix) < squares(points, *new[:, [0, 2]].T, matrix))

print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("metric-learn", "scikit-learn", "numpy")))
print(f"nothing learned: {right(vectors):.1f}% of new answers")
gains = {}
for length in (1, 10, 100):
    points = length * vectors
    lsml = LSML(preprocessor=points).fit(learned[:, [0, 1, 0, 2]])
    scml = SCML(preprocessor=points, random_state=0).fit(learned)
    matrix = lsml.get_mahalanobis_matrix()
    gains[length] = [right(points, some.get_mahalanobis_matrix()) - right(points) for some in (lsml, scml)]
    print(f"length {length:3d}: LSML {gains[length][0]:+.1f} points in {lsml.n_iter_} steps, farthest eigenvalue from 1 "
          f"{np.abs(np.linalg.eigvalsh(matrix) - 1).max():.3f}; SCML {gains[length][1]:+.1f} points")
sys.exit(not (abs(gains[1][0]) < 1 and gains[100][0] > 5 and min(gains[1][1], gains[100][1]) > 5))
P
