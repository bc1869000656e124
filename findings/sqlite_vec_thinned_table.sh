#!/bin/bash
# A table of sqlite-vec (vec0) of which nearly all rows are deleted, here and there: what becomes of the room.
# Guessed before it was run: VACUUM gives it back, as for a table of SQLite's own, or rows put later take it.
# What comes: neither. Vectors lie in chunks of 1,024; a chunk goes when its last row goes, and only the newest takes rows.
# One row of 64 kept: the file is as large as before, after VACUUM too, and what is put then makes new chunks.
# Deleted from one end, the room does come back. To make the table anew from its rows is the way.
# Exits 0 while that is so, 1 if it changes. Needs a network for pip, and python3 with venv.
set -e
T=$(mktemp -d); trap 'rm -rf "$T"' EXIT
python3 -m venv "$T/venv"
"$T/venv/bin/pip" install --quiet sqlite-vec==0.1.9 apsw==3.54.1.0 numpy==2.4.6 2>/dev/null
"$T/venv/bin/python" - "$T" <<'P'
import os, sys
import apsw, numpy as np, sqlite_vec

vectors = np.random.default_rng(0).random((5_120, 256), dtype=np.float32)

def table(name):
    path = f"{sys.argv[1]}/{name}.db"
    link = apsw.Connection(path)
    link.enable_load_extension(True)
    link.load_extension(sqlite_vec.loadable_path())
    link.execute("create virtual table v using vec0(e float[256])")
    return path, link

def put(link, ids):
    with link:
        link.executemany("insert into v(rowid, e) values (?, ?)", ((i, vectors[i % 5_120].tobytes()) for i in ids))

def state(path, link):
    link.execute("vacuum")
    return os.path.getsize(path), link.execute("select count(*) from v_chunks").get, link.execute("select count(*) from v").get

def tell(what, found):
    print(f"{what:46s} {found[0]:>10,} bytes, {found[1]} chunks, {found[2]:,} rows")
    return found

print(f"sqlite-vec {sqlite_vec.__version__}, SQLite {apsw.sqlite_lib_version()}")
path, link = table("thinned")
put(link, range(1, 5_121))
full = tell("5,120 rows", state(path, link))
with link:
    for i in range(1, 5_121):
        if i % 64:
            link.execute("delete from v where rowid = ?", (i,))
thin = tell("one of 64 kept, vacuumed", state(path, link))
put(link, range(10_000, 14_096))
more = tell("4,096 put", state(path, link))
path, link = table("cut")
put(link, range(1, 5_121))
with link:
    link.execute("delete from v where rowid > 80")
cut = tell("the first 80 kept, vacuumed", state(path, link))
sys.exit(not (full[1] == thin[1] == 5 and thin[0] > 0.9 * full[0] and more[1] == 9 and cut[1] == 1))
P
