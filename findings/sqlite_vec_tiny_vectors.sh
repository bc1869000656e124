#!/bin/bash
# sqlite-vec, distance_metric=cosine, and a vector that is nearly zero, as features of a blank image may be; its direction is well defined in float32.
# Guessed before it was run: the cosine of its direction, or NULL as for a vector of zeros.
# What comes: its length is taken as 0 but its product with the query is not, so its distance is -inf or +inf by the sign alone: it is the
# very first hit of every query on its side, before the query's own exact copy. In a vec0 table too. Ten times longer, the cosine
# is off by a hundredth, and a distance below 0 stands before a true copy's.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv (apsw, as Python's own sqlite3 may load no extension).
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet sqlite-vec==0.1.9 apsw==3.54.1.0 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
import apsw, numpy as np, sqlite_vec

database = apsw.Connection(":memory:")
database.enable_load_extension(True)
database.load_extension(sqlite_vec.loadable_path())
print("sqlite-vec", database.execute("SELECT vec_version()").fetchone()[0])
rng = np.random.default_rng(0)
images = rng.normal(size=(100, 64)).astype(np.float32)
images[0] *= np.float32(1e-24)
direction = images[0].astype(np.float64) / np.linalg.norm(images[0].astype(np.float64))
print(f"smallest number of the tiny vector: {np.abs(images[0]).min():.1e}, float32's smallest normal one: {np.finfo('f4').tiny:.1e}")
database.execute("CREATE VIRTUAL TABLE photos USING vec0(vector float[64] distance_metric=cosine)")
database.executemany("INSERT INTO photos(rowid, vector) VALUES (?, ?)", [(n, v.tobytes()) for n, v in enumerate(images)])
find = "SELECT rowid, distance FROM photos WHERE vector MATCH ? AND k = 2"
wrong = side = 0
for row in range(1, 100):
    first, second = database.execute(find, (images[row].tobytes(),)).fetchall()
    on_its_side = float(images[row] @ direction) > 0
    side += on_its_side
    wrong += on_its_side and first == (0, -np.inf) and second[0] == row
print(f"of {side} queries on its side, {wrong} find the tiny vector first, at -inf, and their own copy second")
apart = database.execute("SELECT vec_distance_cosine(?, ?)", (images[1].tobytes(), np.zeros(64, "f4").tobytes())).fetchone()
print("distance from a vector of zeros:", apart[0])
sys.exit(not (wrong == side > 20 and apart[0] is None))
P
