"""The hand-made features on the triplets that people rated: figures of docs/features.md."""

import pytest

from deep_ranking.datasets.human_triplets import prepare_human_triplets
from deep_ranking.evaluation.metrics import similarity_precision, triplet_distances
from deep_ranking.extras.handmade import LabHistogram, WaveletSignature
from deep_ranking.extras.handmade.extract import extract
from deep_ranking.triplets.table import Triplets


@pytest.mark.long
@pytest.mark.parametrize(("feature", "percent"), [(WaveletSignature(), 62.0), (LabHistogram(), 65.0)])
def test_similarity_precision_of_hand_made_features(shared, tmp_path, feature, percent):
    data = tmp_path / "data"
    prepare_human_triplets(data, shared / "data" / "human-triplets-development.zip", quiet=True)
    triplets = Triplets.load(data / "triplets.txt", data)
    vectors = extract(feature, triplets.images, quiet=True)
    right = similarity_precision(triplet_distances(vectors, triplets.rows))
    assert 100 * right.mean() == pytest.approx(percent, abs=0.3)
