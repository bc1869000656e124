"""A small trained model and the images that it is measured on."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from deep_ranking.datasets.demo import DemoSettings, draw_demo
from deep_ranking.images.find import find_classes
from deep_ranking.triplets.file import write_blocks
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler


@dataclass(frozen=True)
class Trained:
    """`train/` and `test/` of eight classes of three images, triplets of each, and a model."""

    root: Path
    model: Path

    def triplets(self, part: str) -> Path:
        return self.root / f"{part}.txt"


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    from deep_ranking.network.network import NetworkSettings
    from deep_ranking.training.run import train
    from deep_ranking.training.settings import TrainingSettings

    root = tmp_path_factory.mktemp("trained")
    found = Trained(root, root / "model.h5")
    tables = []
    for number, part in enumerate(("train", "test")):
        draw_demo(root / part, DemoSettings(3, 32, seed=1, part=number), quiet=True)
        sampler = UniformSampler(find_classes(root / part), 1, 1)
        write_blocks(found.triplets(part), sampler.images, sampler.blocks())
        tables.append(Triplets.load(found.triplets(part), root / part))
    settings = TrainingSettings(
        NetworkSettings("simple", image_size=32, embedding_size=8), weights="none", epochs=1, batch_size=12
    )
    train(tables[0], found.model, settings, tables[1])
    return found
