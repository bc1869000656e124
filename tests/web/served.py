"""Images, an embedder and an index for the tests of the page's server."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from waiting import wait_until

from deep_ranking.images.decode import read_image
from deep_ranking.images.find import find_images
from deep_ranking.search import Index, update_index


class PixelEmbedder:
    """Embeds an image as its colours at 2 x 2 points, scaled to length 1."""

    dimension = 12
    fingerprint = "pixels"

    def embed_image(self, image):
        vector = read_image(image, (2, 2)).ravel().astype(np.float32) + 1
        return vector / np.linalg.norm(vector)

    def embed(self, paths, *, quiet=True):
        return np.array([self.embed_image(Path(path).read_bytes()) for path in paths], np.float32), []


def picture(name: str, width: int = 48, height: int = 32) -> Image.Image:
    """Draw an image whose pixels follow from a name."""
    pixels = np.frombuffer(hashlib.sha256(name.encode()).digest()[:12], np.uint8).reshape(2, 2, 3)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)


def make_images(root: Path, count: int = 30) -> Path:
    for i in range(count):
        path = root / ("cats", "dogs", "élan & <co>")[i % 3] / f"{i:02} #1?.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(str(i)).save(path)
    return root


def make_index(folder: Path, images: Path, embedder: PixelEmbedder) -> Path:
    index = Index.open(folder) if Index.exists(folder) else Index.create(folder, 12, "pixels")
    with index:
        update_index(index, images, find_images(images), embedder, quiet=True)
        len(index)
    return folder


def made(client, address: str):
    """What the server answers once that is made, which it makes behind."""

    def whole():
        answer = client.get(address)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return found if found.get("done", True) and found.get("histogram", found) else None

    return wait_until(whole, f"{address} is made")
