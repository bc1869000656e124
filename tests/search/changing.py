"""Run by the tests as a process of its own: `python changing.py INDEX ACKNOWLEDGED SEED`.

Adds, replaces and removes images by turns, without an end, searches after each, and so reads what was changed
and writes it together; each change that is kept for good goes to the file ACKNOWLEDGED as a line of JSON.
"""

import json
import os
import random
import sys

import numpy as np

from deep_ranking.search import Index

DIMENSION = 4


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(DIMENSION).astype(np.float32)


def main(folder: str, acknowledged: str, seed: str) -> None:
    chance, log = random.Random(seed), os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with Index.open(folder) as index:
        while True:
            paths = [f"{chance.randrange(300):03}" for _ in range(chance.choice((1, 2, 20)))]
            change = {path: chance.randrange(10_000) for path in set(paths)}
            os.write(log, f"{json.dumps(['begin', change])}\n".encode())
            if chance.random() < 0.6:
                index.add([*change], [vector(number) for number in change.values()])
                done = "put"
            else:
                index.remove([*change])
                done = "removed"
            os.write(log, f"{json.dumps([done, change])}\n".encode())
            index.search(vector(0), 3)


if __name__ == "__main__":
    main(*sys.argv[1:])
