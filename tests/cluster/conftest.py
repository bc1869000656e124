"""What drivers and workers of the tests of the cluster need."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "search"))  # for its samples


@pytest.fixture(scope="session")
def environment():
    """Of the drivers: where modules are, to their workers too."""
    folders = map(str, [HERE.parents[1], HERE.parent / "search", HERE])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
