"""A few images, and every feature ready to compute."""

import functools
from collections.abc import Callable
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


@pytest.fixture(scope="session")
def fitted(image_paths) -> Callable[[type[CodebookFeature]], Feature]:
    """Give a feature fitted to the textures, once a session, since some take seconds; nobody changes it."""
    return functools.cache(lambda kind: kind().fit(image_paths))


@pytest.fixture(scope="session", params=FEATURES)
def feature(request, fitted) -> Feature:
    """Each feature in turn, fitted where it needs it."""
    kind = FEATURES[request.param]
    return fitted(kind) if issubclass(kind, CodebookFeature) else kind()
