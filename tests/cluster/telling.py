"""A driver that embeds by two workers: `python telling.py IMAGES INDEX SHARDS LOG ADDRESS DELAY`.

The workers tell in a file what they embed, and wait DELAY seconds before each chunk; below 0 they fail. The
report comes as JSON.
"""

import hashlib
import json
import os
import sys
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

from samples import PixelEmbedder

from deep_ranking.errors import DeepRankingError


class TellingEmbedder(PixelEmbedder):
    def __init__(self, log, delay):
        super().__init__()
        self.log, self.delay = log, delay

    def embed(self, images, *, quiet=True):
        if self.delay < 0:
            raise DeepRankingError("the network is made of wood")
        with Path(self.log).open("a") as file:
            file.writelines(f"{os.getpid()} {hashlib.sha256(image).hexdigest()}\n" for image in images)
        time.sleep(self.delay)
        return super().embed(images)


def main(images, index_folder, shards, log, address, delay):
    from deep_ranking.extras.ray.shards import ShardFolder
    from deep_ranking.extras.ray.update import update_on_cluster
    from deep_ranking.search import Index

    exists = Index.exists(index_folder)
    with Index.open(index_folder) if exists else Index.create(index_folder, 12, "pixels") as index:
        report = update_on_cluster(
            index,
            images,
            partial(TellingEmbedder, log, float(delay)),
            address,
            ShardFolder(shards),
            workers=2,
            shard_size=16,
            quiet=True,
        )
    print(json.dumps(asdict(report)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DeepRankingError as error:
        sys.exit(str(error))
