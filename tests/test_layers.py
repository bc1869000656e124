"""Imports run one way and in no circle, and the whole stays small enough to be read.

Read from the syntax trees, so that imports inside functions count too.
"""

import ast
import graphlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import deep_ranking
from deep_ranking.cli import COMMANDS, command_module

PACKAGE = Path(deep_ranking.__file__).parent

PICTURE = """
    errors  door
    containers
    files  location  progress  settings  styles
    vectors  sqlite
    triplets  search
    evaluation  ratings
    learning
    images.bands  images.memory  images.forms  images.colour  images.depth
    images.find  images.walk  images.content  images.decode  images.cache  images.loader
    datasets
    images*  network*  ranking*
    embedding*  web
    training*  blend*
    description*
    reporting
    display
    cli*
    extras*
    __main__
"""
"""The parts of the package: a folder, or some of its files. A part imports parts of lines above its own only;
of its own line, those of its own folder. Those with a star may import Keras."""

LAYERS = {
    part.rstrip("*"): number for number, line in enumerate(PICTURE.split("\n")) for part in line.split()
}
WITH_KERAS = {part.rstrip("*") for part in PICTURE.split() if part.endswith("*")}
KERAS = {"keras", "tensorflow", "jax", "torch"}

# A newcomer reads it all, in some days: past these, something is to be taken away before more is added. Where
# they are to go is 18,000 and 20,500 lines.
MOST_CORE_FILES, MOST_CORE_LINES, MOST_LINES = 219, 35_239, 37_987
LONG, MOST_LONG = 60, 3  # lines of a function; one that long is a list of flags, or cannot be told in parts

FILES = sorted(PACKAGE.rglob("*.py"))
CORE = [path for path in FILES if not path.is_relative_to(PACKAGE / "extras")]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


MODULES = {module_name(path) for path in FILES}


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imported(tree: ast.AST, for_types: bool = True) -> Iterator[str]:
    """Yield what is imported, modules of the package by their full names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here, so that they can be searched for"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES or node.module == "deep_ranking" else str(node.module)
        elif for_types or not is_for_types(node):
            yield from imported(node, for_types)


def part_of(module: str) -> str | None:
    """Return the part of the package that a module belongs to; None for the package itself and others."""
    if not module.startswith("deep_ranking.") or module.startswith("deep_ranking.__version"):
        return None
    inside = module.removeprefix("deep_ranking.")
    folder = inside.partition(".")[0]
    found = [part for part in LAYERS if f"{inside}.".startswith(f"{part}.")]
    assert found, f"deep_ranking.{folder} is in no layer: put it into PICTURE, and into the design's"
    return max(found, key=len)


def folder_of(part: str) -> str:
    return part.partition(".")[0]


def violations(module: str, tree: ast.AST) -> list[str]:
    """Return each import of a module that runs the wrong way."""
    own, wrong = part_of(module), []
    for name in imported(tree):
        other = part_of(name)
        if own is None:  # the package itself: by name, when asked; at once only what costs nothing
            if other is not None and LAYERS[other] > min(LAYERS.values()):
                wrong.append(f"{module} imports {name} at once")
        elif name.split(".")[0] in KERAS:
            if own not in WITH_KERAS:
                wrong.append(f"{module} imports {name}; this part works without Keras")
        elif other is not None and other != own:
            above, same_folder = LAYERS[other] - LAYERS[own], folder_of(other) == folder_of(own)
            if above > 0 or (above == 0 and not same_folder):
                wrong.append(f"{module} imports {name}, which does not lie below it")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path):
    assert violations(module_name(path), parsed(path)) == []


@pytest.mark.parametrize("part", LAYERS)
def test_the_picture_shows_what_is_there(part):
    assert f"deep_ranking.{part}" in MODULES


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("deep_ranking.network.x", "from deep_ranking.ranking import loss"),
        ("deep_ranking.ranking.x", "def f():\n    import deep_ranking.network.head"),
        ("deep_ranking.triplets.x", "from deep_ranking.images.find import find_classes"),
        ("deep_ranking.triplets.x", "def f():\n    from deep_ranking import images"),
        ("deep_ranking.search.x", "import keras"),
        ("deep_ranking.datasets.x", "from tensorflow.io import gfile"),
        ("deep_ranking.datasets.x", "from deep_ranking.images.batches import TripletBatches"),
        ("deep_ranking.images.decode", "from keras import ops"),
        ("deep_ranking.images.decode", "from deep_ranking.images.batches import Batches"),
        ("deep_ranking.web.x", "from deep_ranking.training.run import train"),
        ("deep_ranking.web.x", "import keras"),
        ("deep_ranking.evaluation.metrics", "from deep_ranking.reporting import draw"),
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
        ("deep_ranking.images.cache", "from deep_ranking.images.decode import read_image"),
        ("deep_ranking.reporting", "from deep_ranking.evaluation.metrics import recall"),
        ("deep_ranking.network.x", "from deep_ranking.network.y import z"),
        ("deep_ranking.cli.x", "from deep_ranking import __version__"),
    ],
)
def test_right_ways_pass(module, code):
    assert violations(module, ast.parse(code)) == []


def circle(trees: dict[str, ast.AST]) -> list[str]:
    """Return modules each of which imports the next, the last the first; [] where there is no circle.

    Only what runs counts, not what type checkers alone see. The package itself is left out: its names are
    fetched when they are asked for.
    """
    graph = {
        module: {name for name in imported(tree, for_types=False) if name in trees} - {module}
        for module, tree in trees.items()
        if module != "deep_ranking"
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other():
    assert circle({module_name(path): parsed(path) for path in FILES}) == []


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("import deep_ranking.files", "", False),
        ("import deep_ranking.files", "def f():\n    from deep_ranking import errors", True),
        ("import deep_ranking.files", "if TYPE_CHECKING:\n    from deep_ranking import errors", False),
        ("from deep_ranking.files import x", "try:\n    import deep_ranking.errors\nexcept E: ...", True),
    ],
)
def test_circles_are_seen(one, other, found):
    trees = {"deep_ranking.errors": ast.parse(one), "deep_ranking.files": ast.parse(other)}
    assert bool(circle(trees)) == found


@pytest.mark.parametrize("path", CORE, ids=module_name)
def test_the_core_does_not_know_its_extras(path):
    names = imported(parsed(path))
    assert [name for name in names if name.startswith("deep_ranking.extras.")] == []


def test_few_functions_are_long():
    functions = [
        (node.end_lineno - node.lineno + 1, f"{module_name(path)}.{node.name}")
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [(lines, name) for lines, name in functions if lines > LONG]
    assert len(long) <= MOST_LONG, long


def test_the_whole_can_be_read():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    files, core, everything = len(CORE), sum(lines[path] for path in CORE), sum(lines.values())
    assert files <= MOST_CORE_FILES
    assert core <= MOST_CORE_LINES
    assert everything <= MOST_LINES


LIGHT = {f"deep_ranking.{name}" for name in ("errors", "location", "settings", "cli")}
LIGHT |= {
    f"deep_ranking.cli.{name}"
    for name in ("checks", "image_folders", "parser", "places", "shared", "streams", "training_data")
}


def heavy_at_the_top(tree: ast.Module) -> list[str]:
    """Return what is imported at the top and is neither of the standard library nor as light."""
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    light = LIGHT | {"deep_ranking.__version__"}
    names = imported(ast.Module(top, []))
    return [name for name in names if name.split(".")[0] not in sys.stdlib_module_names and name not in light]


@pytest.mark.parametrize("module", sorted({command_module(name).__name__ for name in COMMANDS} | LIGHT))
def test_a_command_imports_heavy_things_when_it_runs(module):
    """At its top a command imports the standard library and what is as light, so that --help is instant."""
    assert heavy_at_the_top(parsed(Path(importlib.import_module(module).__file__))) == []


def test_what_is_heavy_at_the_top_is_seen():
    code = "import os\nimport keras\nfrom deep_ranking.images import find\ndef f():\n    import numpy"
    assert heavy_at_the_top(ast.parse(code)) == ["keras", "deep_ranking.images.find"]


@pytest.mark.parametrize("script", ["triplet_sampler.py", "train.py", "similarity.py"])
def test_root_scripts_only_call_the_command_line(script):
    path = PACKAGE.parent / script
    assert set(imported(parsed(path))) == {"deep_ranking.cli"}
