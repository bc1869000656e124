"""What several test files use."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

# The same examples each time, and no failure because a machine was busy.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the repository; tests that need it skip where it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data and weights in {SHARED}, which are not part of the repository")
    return SHARED


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run a root script or `-m deep_ranking` in a fresh process, in the test's own folder."""

    def run(*args: object, timeout: float = 300) -> subprocess.CompletedProcess:
        script, *rest = map(str, args)
        command = ["-m", "deep_ranking", script] if not script.endswith(".py") else [str(ROOT / script)]
        return subprocess.run(
            [sys.executable, "-W", "error::SyntaxWarning", *command, *rest],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    return run


@pytest.fixture
def striped_classes(tmp_path: Path) -> Path:
    """A data set that a small network learns in seconds, and that colour alone does not tell apart.

    Three classes of six images, striped across, down and slantwise, each image in a colour of its own.
    """
    rng = np.random.default_rng(7)
    root = tmp_path / "dataset"
    y, x = np.mgrid[:40, :40]
    for name, along in {"across": y, "down": x, "slant": x + y}.items():
        (root / name).mkdir(parents=True)
        for number in range(6):
            stripes = 0.5 + 0.5 * np.sin(along * 2 * np.pi / 8 + rng.uniform(0, 2 * np.pi))
            pixels = stripes[..., None] * rng.uniform(80, 255, 3) + rng.uniform(0, 40, (40, 40, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{number}.png")
    return root
