"""Imports run one way: read from the syntax trees, so that imports inside functions count too."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deep_ranking
from deep_ranking.cli import COMMANDS, command_module

PACKAGE = Path(deep_ranking.__file__).parent

# A part imports parts of lines above its own only; parts of one line do not know each other.
LAYERS = [
    {"errors", "lazy", "registration"},
    {"files", "progress"},
    {"vectors", "sqlite"},
    {"triplets", "search"},
    {"evaluation", "ratings"},
    {"images", "network", "ranking", "datasets"},
    {"embedding"},
    {"training", "blend"},
    {"report", "web"},
    {"display"},
    {"cli"},
    {"extras"},
    {"__main__"},
]
FORBIDDEN = {("web", "training")}
KERAS = {"keras", "tensorflow", "jax", "torch"}
WITHOUT_KERAS = {
    "errors",
    "files",
    "progress",
    "sqlite",
    "vectors",
    "triplets",
    "search",
    "ratings",
    "evaluation",
    "datasets",
    "report",
    "display",
}
IMAGES_WITH_KERAS = {
    "deep_ranking.images.augment",
    "deep_ranking.images.batches",
    "deep_ranking.images.generator",
}

FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here, so that they can be searched for"
            if node.module == "deep_ranking":
                yield from (f"deep_ranking.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def part_of(module: str) -> str | None:
    """Return the part of the package that a module belongs to; None for the package itself and others."""
    if not module.startswith("deep_ranking."):
        return None
    part = module.split(".")[1]
    return None if part.startswith("__version") else part


def layer(part: str) -> int:
    for number, parts in enumerate(LAYERS):
        if part in parts:
            return number
    raise AssertionError(
        f"deep_ranking.{part} is in no layer: put it into LAYERS, and into the design's picture"
    )


def violations(module: str, tree: ast.AST) -> list[str]:
    """Return each import of a module that runs the wrong way."""
    own, wrong = part_of(module), []
    for name in imported(tree):
        other = part_of(name)
        if own is None:  # the package itself: it may import whatever it likes, but by name, when asked
            if other not in (None, "lazy", "registration"):
                wrong.append(f"{module} imports {name} at once")
        elif name.split(".")[0] in KERAS:
            in_images = own == "images" and module not in IMAGES_WITH_KERAS
            if own in WITHOUT_KERAS or in_images:
                wrong.append(f"{module} imports {name}; this part works without Keras")
        elif other is not None and other != own and (layer(other) >= layer(own) or (own, other) in FORBIDDEN):
            wrong.append(f"{module} imports {name}, which does not lie below it")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path):
    assert violations(module_name(path), ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("deep_ranking.network.x", "from deep_ranking.ranking import loss"),
        ("deep_ranking.ranking.x", "def f():\n    import deep_ranking.network.head"),
        ("deep_ranking.triplets.x", "from deep_ranking.images.find import find_classes"),
        ("deep_ranking.triplets.x", "def f():\n    from deep_ranking import images"),
        ("deep_ranking.search.x", "import keras"),
        ("deep_ranking.datasets.x", "from tensorflow.io import gfile"),
        ("deep_ranking.images.decode", "from keras import ops"),
        ("deep_ranking.web.x", "from deep_ranking.training.fit import fit"),
        ("deep_ranking.evaluation.metrics", "from deep_ranking.report import draw"),
        ("deep_ranking.cli.x", "from deep_ranking.extras.ray import shards"),
        ("deep_ranking.training.x", "from deep_ranking.cli import main"),
        ("deep_ranking", "from deep_ranking.ranking import TripletHingeLoss"),
    ],
)
def test_wrong_ways_are_seen(module, code):
    assert len(violations(module, ast.parse(code))) == 1


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("deep_ranking.images.generator", "import keras\nfrom deep_ranking.triplets import Triplet"),
        ("deep_ranking.report", "from deep_ranking.evaluation.metrics import recall"),
        ("deep_ranking.network.x", "from deep_ranking.network.y import z"),
        ("deep_ranking.cli.x", "from deep_ranking import __version__"),
    ],
)
def test_right_ways_pass(module, code):
    assert violations(module, ast.parse(code)) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_imports_heavy_things_when_it_runs(command):
    """At its top a command imports the standard library and what is as light, so that --help is instant."""
    tree = ast.parse(Path(command_module(command).__file__).read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    light = {"deep_ranking.errors", "deep_ranking.cli", "deep_ranking.__version__"}
    names = [name for node in top for name in imported(node)]
    assert not [
        name for name in names if name.split(".")[0] not in sys.stdlib_module_names and name not in light
    ]


@pytest.mark.parametrize("script", ["triplet_sampler.py", "train.py", "similarity.py"])
def test_root_scripts_only_call_the_command_line(script):
    path = PACKAGE.parent / script
    assert set(imported(ast.parse(path.read_text(encoding="utf-8")))) == {"deep_ranking.cli"}
