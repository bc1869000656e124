"""A few images, and every feature ready to compute."""

from pathlib import Path

import pytest
from PIL import Image
from textures import texture

from deep_ranking.extras.handmade import FEATURES, CodebookFeature, Feature


@pytest.fixture(scope="session")
def image_paths(tmp_path_factory) -> list[Path]:
    """Eight textures as files."""
    folder = tmp_path_factory.mktemp("textures")
    paths = [folder / f"{seed}.png" for seed in range(8)]
    for seed, path in enumerate(paths):
        Image.fromarray(texture(seed)).save(path)
    return paths


@pytest.fixture(scope="session", params=FEATURES)
def feature(request, image_paths) -> Feature:
    """Each feature in turn, fitted where it needs it."""
    kind = FEATURES[request.param]
    return kind().fit(image_paths) if issubclass(kind, CodebookFeature) else kind()
