"""What version 0.1.0 wrote before its modules were moved is read as it was: models, an index, their answers.

tests/data/written_before was made by that code: six drawn images, two networks of one epoch each (`.h5` with
the paper's low-resolution paths, `.keras` without), an index by the first, and what they answered then.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import deep_ranking as dr

DATA = Path(__file__).parent / "data" / "written_before"
EXPECTED = json.loads((DATA / "expected.json").read_text())


@pytest.mark.parametrize("name", ["model.h5", "model.keras"])
def test_a_model_gives_the_same_vectors(name):
    expected = EXPECTED[name]
    found = dr.load(DATA / name, engine="keras").encode([DATA / "photos" / path for path in expected])
    np.testing.assert_allclose(found, np.array(list(expected.values())), atol=2e-6)


@pytest.fixture
def index(tmp_path):
    shutil.copytree(DATA / "photos.index", tmp_path / "photos.index")  # opening writes a cache beside it
    with dr.Index.open(tmp_path / "photos.index") as index:
        yield index


@pytest.mark.parametrize(("case", "options"), [("hits", {}), ("among slant", {"label": "slant"})])
def test_an_index_gives_the_same_hits(index, case, options):
    found = index.search("across/0.png", 6, **options)
    assert [(hit.path, hit.label) for hit in found] == [(path, label) for path, _, label in EXPECTED[case]]
    np.testing.assert_allclose([hit.distance for hit in found], [d for _, d, _ in EXPECTED[case]], atol=1e-6)


def test_an_index_follows_its_folder_without_embedding_anew(tmp_path):
    """The model that the index was made with is still that model, and its images are still those images."""
    shutil.copytree(DATA, tmp_path / "all")
    model = dr.load(tmp_path / "all" / "model.h5", engine="keras")
    with dr.Index.open(tmp_path / "all" / "photos.index") as index:
        report = dr.update_index(index, tmp_path / "all" / "photos", list(EXPECTED["model.h5"]), model)
    assert (report.embedded, report.removed) == (0, 0)
