"""What several test files use."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples each time, and no failure because a machine was busy.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; tests that need it skip where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data and weights in {SHARED}, which are not part of the repository")
    return SHARED
