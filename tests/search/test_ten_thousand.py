"""All 10,000 validation images of Tiny ImageNet: indexed, searched, half of them deleted and put back."""

import zipfile

import numpy as np
import pytest
from samples import PixelEmbedder

from deep_ranking.images.find import find_images
from deep_ranking.search import Index, Options, update_index

COUNT = 10_000


@pytest.mark.long
def test_ten_thousand_photographs(tmp_path, shared):
    pytest.importorskip("faiss")
    with zipfile.ZipFile(shared / "data/tiny-imagenet-200-subset.zip") as archive:
        names = [name for name in archive.namelist() if "/val/images/" in name and name.endswith(".JPEG")]
        assert len(names) == COUNT
        archive.extractall(tmp_path, names)
    images, embedder = tmp_path / "tiny-imagenet-200/val/images", PixelEmbedder()
    with Index.create(tmp_path / "index", 12, "pixels") as index:

        def follow():
            return update_index(index, images, find_images(images), embedder, quiet=True)

        report = follow()
        assert report.embedded + report.reused == len(index) == COUNT
        before = index.snapshot
        check_answers(index)
        removed = sorted(path.name for path in images.iterdir())[::2]
        contents = {name: (images / name).read_bytes() for name in removed}
        for name in removed:
            (images / name).unlink()
        report = follow()
        assert (report.removed, report.unchanged, len(index)) == (COUNT // 2, COUNT // 2, COUNT // 2)
        assert not {image.path for image in index.snapshot.images} & set(removed)
        check_answers(index)
        for name in removed:
            (images / name).write_bytes(contents[name])
        report = follow()
        assert report.embedded + report.reused == report.unchanged == COUNT // 2
        assert [i.path for i in index.snapshot.images] == [i.path for i in before.images]
        assert np.array_equal(index.snapshot.matrix, before.matrix)
        check_answers(index)


def check_answers(index):
    """Assert that exact search is right, and that the approximate ones find 95% of it."""
    matrix, images = index.snapshot.matrix, index.snapshot.images
    queries = matrix[:: len(matrix) // 200]
    exact = index.search_batch(queries, 10)
    for query, hits in zip(queries[:20], exact, strict=False):
        distances = np.linalg.norm(matrix.astype(np.float64) - query, axis=1)
        right = [images[row].path for row in np.argsort(distances, kind="stable")[:10]]
        assert [hit.path for hit in hits] == right
    for kind in ("clustered", "hnsw"):
        found = index.search_batch(queries, 10, Options(approximate=kind))
        shares = [len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]
        assert np.mean(shares) >= 0.95
