"""One door: `import deep_ranking as dr` offers everything, costs nothing, and is all that examples use."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import deep_ranking as dr

ROOT = Path(__file__).parents[1]
TABLES = {
    name: importlib.import_module(name)._NAMES
    for name in (
        "deep_ranking",
        "deep_ranking.extras.handmade",
        "deep_ranking.extras.postgres",
        "deep_ranking.extras.ray",
    )
}
STUB = ROOT / "deep_ranking/__init__.pyi"
HEAVY = ("keras", "tensorflow", "numpy", "PIL", "h5py", "scipy", "sklearn", "tqdm", "argparse", "difflib")


def stub() -> str:
    """Return what type checkers and editors read: the table of names as imports."""
    lines = [
        "# Written by `python tests/test_door.py` from the table in __init__.py.",
        "# ruff: noqa",
        "# fmt: off",
        "__version__: str",
    ]
    for name, where in dr._NAMES.items():
        module, _, there = where.partition(":")
        lines.append(f"from deep_ranking.{module} import {there or name} as {name}")
    names = ", ".join(f'"{name}"' for name in dr._NAMES)
    lines.append(f"__all__ = [{textwrap.fill(names, 100)}]")
    return "\n".join(lines) + "\n"


def in_a_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_costs_nothing():
    """In processor time, since the machine may be busy; the least of a few, for the same reason."""
    code = (
        "import sys, time\n"
        "start = time.process_time()\n"
        "import deep_ranking\n"
        "print(time.process_time() - start)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    seconds, heavy = zip(*(in_a_fresh_process(code).splitlines() for _ in range(5)), strict=True)
    assert set(heavy) == {"[]"}
    assert min(map(float, seconds)) < 0.05


def test_what_it_lists_is_the_table_whatever_was_imported():
    import deep_ranking.embedding.model
    import deep_ranking.triplets.file  # noqa: F401 - Python sets them as attributes

    assert dir(dr) == sorted(dr._NAMES) == sorted(dr.__all__)


@pytest.mark.parametrize("package", TABLES)
def test_no_name_is_hidden_by_a_module_of_that_name(package):
    """Python puts a module that is imported in place of a function of the same name."""
    modules = {path.stem for path in Path(importlib.import_module(package).__file__).parent.iterdir()}
    assert [name for name, where in TABLES[package].items() if name in modules and where != f"{name}:"] == []


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package, table in TABLES.items() for name in table]
)
def test_every_name_is_there_and_says_what_it_is(package, name):
    if package == "deep_ranking.extras.postgres":
        pytest.importorskip("psycopg")
    found = getattr(importlib.import_module(package), name)
    assert inspect.getdoc(found)
    if isinstance(found, type):
        assert found.__doc__, "not that of what it inherits from"


def test_a_wrong_name_is_told_with_the_nearest():
    with pytest.raises(AttributeError, match="no attribute 'Triplet_s'; did you mean 'Triplets'"):
        dr.Triplet_s  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean 'TripletHingeLoss'"):
        dr.triplethingeloss  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'qqqqq'$"):
        dr.qqqqq  # noqa: B018
    assert not hasattr(dr, "__path_of_nothing__")


def test_type_checkers_see_the_names():
    assert STUB.read_text("utf-8") == stub(), "write it again: python tests/test_door.py"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A folder with models that were compiled with our losses."""
    folder = tmp_path_factory.mktemp("compiled")
    settings = dr.NetworkSettings("simple", image_size=32, embedding_size=8)
    for name, loss, metrics in (
        ("hinge", dr.TripletHingeLoss(0.2), dr.ranking_metrics),
        ("mined", dr.MinedTripletLoss(0.2), dr.mining_metrics),
    ):
        network = dr.build_network(settings)
        network.compile("sgd", loss=loss, metrics=metrics(0.2, "euclidean"))
        network.save(folder / f"{name}.keras")
        network.save(folder / f"{name}.h5")
    return folder


@pytest.mark.parametrize("first", ["deep_ranking", "keras"])
def test_keras_finds_our_losses_too(compiled, run, first):
    """`load_model` of a model compiled with them, before or after Keras is imported."""
    second = {"deep_ranking": "keras", "keras": "deep_ranking"}[first]
    load = (
        f"import {first}, {second}, keras, numpy as np\n"
        f"for name in ('hinge.keras', 'hinge.h5', 'mined.keras', 'mined.h5'):\n"
        f"    model = keras.models.load_model({str(compiled)!r} + '/' + name)\n"
        "    assert model.loss.gap == 0.2, model.loss\n"
        "    images, labels = np.zeros((6, 32, 32, 3)), np.arange(6) % 2\n"
        "    assert 'spread' in model.evaluate(images, labels, 6, 0, return_dict=True)\n"
    )
    done = run("-c", load, fresh=first != "keras")  # other processes have imported Keras, and not us
    assert done.returncode == 0, done.stderr


def python_blocks(page: Path) -> Iterator[str]:
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.S | re.M):
        if language in ("", "python", "py"):
            yield code


def examples() -> Iterator[tuple[str, str]]:
    """Yield all code that shows how the project is used, and where it stands."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, code in enumerate(python_blocks(page), 1):
            yield f"{page.name}, block {number}", code
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for number, cell in enumerate(json.loads(notebook.read_text("utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                yield f"{notebook.name}, cell {number}", "".join(cell["source"])
    for folder in ("recipes", "benchmarks", "demo", "notebooks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text("utf-8")


EXAMPLES = dict(examples())


def wrong(code: str) -> list[str]:
    """Return what an example takes that is not behind the door."""
    found = []
    for node in ast.walk(ast.parse(code)):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            table = TABLES.get(node.module or "", {})
            if node.module == "deep_ranking":
                table = {**table, "__version__": ""}
            if node.module in TABLES:
                found += [alias.name for alias in node.names if alias.name not in table]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("dr", "deep_ranking"):
            found += [f"dr.{node.attr}"] if node.attr not in {*dr._NAMES, "__version__"} else []
        found += [name for name in modules if name.startswith("deep_ranking.") and name not in TABLES]
    return found


@pytest.mark.parametrize("where", EXAMPLES)
def test_examples_come_through_the_door(where):
    assert wrong(EXAMPLES[where]) == []


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_names_in_prose_are_there(page):
    named = set(re.findall(r"\bdr\.(\w+)", (ROOT / page).read_text("utf-8")))
    assert named <= set(dr._NAMES)


def test_there_are_examples_of_every_kind():
    kinds = {where.split(",")[0].split("/")[0] for where in EXAMPLES}
    assert {"README.md", "notebook.md", "explore.ipynb", "recipes", "benchmarks", "demo"} <= kinds


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import deep_ranking.search", 1),
        ("def f():\n    from deep_ranking.search import Index", 1),
        ("from deep_ranking.extras.ray.shards import Result", 1),
        ("from deep_ranking import Indx, Hit", 1),
        ("dr.serach()", 1),
        ("import deep_ranking as dr\nfrom deep_ranking import Index\ndr.load().encode([])", 0),
        ("from deep_ranking.extras.ray import ShardFolder", 0),
    ],
)
def test_what_goes_round_the_door_is_seen(code, count):
    assert len(wrong(code)) == count


if __name__ == "__main__":
    STUB.write_text(stub(), "utf-8")
