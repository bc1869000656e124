"""The hand-made features on the triplets that people rated: figures of docs/features.md."""

import zipfile

import pytest

from deep_ranking.evaluation.metrics import similarity_precision, triplet_distances
from deep_ranking.features import ColorHistogram, WaveletSignature
from deep_ranking.features.extract import extract
from deep_ranking.triplets.table import TripletTable


@pytest.mark.long
@pytest.mark.parametrize(("feature", "percent"), [(WaveletSignature(), 62.0), (ColorHistogram(), 65.0)])
def test_similarity_precision_of_hand_made_features(shared, tmp_path, feature, percent):
    with zipfile.ZipFile(shared / "data" / "human-triplets-development.zip") as archive:
        archive.extractall(tmp_path)
    triplets = TripletTable.load(tmp_path / "triplets.txt", tmp_path)
    vectors = extract(feature, triplets.images, quiet=True)
    right = similarity_precision(triplet_distances(vectors, triplets.rows))
    assert 100 * right.mean() == pytest.approx(percent, abs=0.3)
