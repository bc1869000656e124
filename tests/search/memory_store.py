"""A store outside the package, of plain dictionaries: as small as the contract allows."""

import threading
from typing import ClassVar

import numpy as np

from deep_ranking.files import path_key
from deep_ranking.search import Store
from deep_ranking.search.store import Contents, IndexExistsError


class MemoryStore(Store):
    places: ClassVar[dict] = {}

    def __init__(self, place):
        super().__init__(place)
        if place not in self.places:
            raise self.missing(place)
        self.lock, self.metadata, self.kept, self.vectors, self.changes = self.places[place]

    @classmethod
    def create(cls, place, metadata):
        if place in cls.places:
            raise IndexExistsError(f"{place}: there is an index already")
        cls.places[place] = threading.Lock(), dict(metadata), {}, {}, [0]
        return cls(place)

    @classmethod
    def exists(cls, place):
        return place in cls.places

    def version(self):
        return str(self.changes[0])

    def contents(self):
        with self.lock:
            images = sorted(self.kept.values(), key=lambda image: path_key(image.path))
            matrix = np.array([self.vectors[image.hash] for image in images], np.float32)
            return Contents.of(self.version(), images, matrix.reshape(-1, self.dimension))

    def known(self, hashes):
        return set(hashes) & self.vectors.keys()

    def write(self, images=(), vectors=None, remove=(), metadata=None):
        with self.lock:
            images = list(images)
            removed = [self.kept.pop(path) for path in remove if path in self.kept]
            self.vectors.update(vectors or {})
            self.kept.update({image.path: image for image in images})
            self.metadata.update(metadata or {})
            self.changes[0] += bool(removed or images)
            return len(removed)

    def sweep(self):
        with self.lock:
            used = {image.hash for image in self.kept.values()}
            for content in self.vectors.keys() - used:
                del self.vectors[content]
