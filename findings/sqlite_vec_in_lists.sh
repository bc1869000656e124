#!/bin/bash
# sqlite-vec (vec0): the k nearest among some rows only, told by "in (...)" on a partition key and on the primary key.
# Guessed before it was run: the k nearest of those rows, as for a metadata column, whatever the condition's form.
# What comes: on a partition key, k of EACH partition: two names give 2k rows, and not the nearest first unless sorted.
# On the primary key, a list of two is applied before the search and gives both; a list of one is "=" to SQLite, which is
# applied after it, as ">=" and "between" are, and gives nothing unless the row is among the k nearest of all. So a list that
# shrinks from two ids to one empties the answer; "in (select 5)" is a list still.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet sqlite-vec==0.1.9 apsw==3.54.1.0 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" <<'P'
import sys
import apsw, numpy as np, sqlite_vec

vectors = np.random.default_rng(0).normal(size=(1_000, 32)).astype(np.float32)
link = apsw.Connection(":memory:")
link.enable_load_extension(True)
link.load_extension(sqlite_vec.loadable_path())
link.execute("create virtual table v using vec0(id integer primary key, part text partition key, e float[32], kind integer)")
with link:
    for row, vector in enumerate(vectors):
        link.execute("insert into v(id, part, e, kind) values (?, ?, ?, ?)", (row, "abc"[row % 3], vector.tobytes(), row % 3))
far = ((vectors - vectors[0]) ** 2).sum(1)
ids = np.arange(1_000)

def ask(condition, among):
    got = [row for row, in link.execute(f"select id from v where e match ? and k = 3 and {condition}", (vectors[0].tobytes(),))]
    true = [int(row) for row in sorted(ids[among], key=lambda row: far[row])[:3]]
    print(f"{condition:20s} expected {true}, came {got}")
    return got, true

print(f"sqlite-vec {sqlite_vec.__version__}, SQLite {apsw.sqlite_lib_version()}; k = 3")
as_found = True
for condition, among in (
    ("kind in (0, 1)", ids % 3 < 2), ("part = 'a'", ids % 3 == 0), ("id in (5, 6)", (ids > 4) & (ids < 7)), ("id in (select 5)", ids == 5),
):
    got, true = ask(condition, among)
    as_found &= got == true
got, true = ask("part in ('a', 'b')", ids % 3 < 2)
each = [sorted(ids[ids % 3 == part], key=lambda row: far[row])[:3] for part in (0, 1)]
as_found &= got == each[0] + each[1] and got[:3] != true
for condition, among in (("id in (5)", ids == 5), ("id = 5", ids == 5), ("id between 5 and 6", (ids > 4) & (ids < 7)), ("id >= 990", ids >= 990)):
    as_found &= ask(condition, among)[0] == []
sys.exit(not as_found)
P
