"""The tests of the cluster use the samples of search."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "search"))
