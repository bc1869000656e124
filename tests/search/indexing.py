"""Run by the tests as a process of its own: `python indexing.py IMAGES INDEX ACKNOWLEDGED DELAY`.

Indexes a folder with the pixel embedder. When a chunk is asked for, the one before it is written for good;
its paths go to the file ACKNOWLEDGED.
"""

import os
import sys
import time

from samples import PixelEmbedder

from deep_ranking.images.find import find_images
from deep_ranking.search import Index, update_index

CHUNK = 4


class Acknowledging(PixelEmbedder):
    def __init__(self, log: int, delay: float):
        super().__init__()
        self.log, self.delay, self.before = log, delay, []

    def embed(self, paths, *, quiet=True):
        os.write(self.log, "".join(f"{path}\n" for path in self.before).encode())
        self.before = list(paths)
        time.sleep(self.delay)
        return super().embed(paths)


def main(images: str, folder: str, acknowledged: str, delay: str) -> None:
    embedder = Acknowledging(os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT), float(delay))
    paths = find_images(images)
    index = Index.open(folder) if Index.exists(folder) else Index.create(folder, 12, "pixels")
    with index:
        update_index(index, images, paths, embedder, chunk=CHUNK, quiet=True)
        len(index)  # writes the caches


if __name__ == "__main__":
    main(*sys.argv[1:])
