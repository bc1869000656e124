"""The notebook runs from top to bottom, and what lies in the repository came from such a run."""

import importlib.util
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbclient, of the extra 'dev'")
pytest.importorskip("nbclient")
pytest.importorskip("matplotlib", reason="needs the extra 'notebook'")

ROOT = Path(__file__).parents[2]
PATH = ROOT / "notebooks/explore.ipynb"


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("run_notebook", ROOT / "notebooks/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(PATH, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook):
    """Return what each cell shows: names of streams, and kinds of media."""
    return [
        sorted({name for output in cell.outputs for name in output.get("data", {output.get("name"): None})})
        for cell in code(notebook)
    ]


def printed(notebook):
    return "".join(
        output.text for cell in code(notebook) for output in cell.outputs if output.output_type == "stream"
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.long
def test_it_runs_and_teaches_what_it_says(runner, kept, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    ran = runner.run(kept)
    assert not [cell for cell in shown(ran) if "stderr" in cell], "a warning, where a reader wants results"
    assert shown(ran) == shown(kept)
    found = re.search(r"^similarity_precision +([\d.]+)% .*?([\d.]+)% \(", printed(ran), re.MULTILINE)
    untrained, trained = map(float, found.groups())
    assert trained > untrained + 20
    agrees = dict(re.findall(r"^(\w+) +(\d+)%$", printed(ran), re.MULTILINE))
    assert int(agrees["trained"]) > int(agrees["untrained"]) + 20


def test_what_is_kept_came_from_this_code(runner, kept):
    assert kept.metadata["code_sha256"] == runner.fingerprint(kept), (
        "run it again: python notebooks/run.py notebooks/explore.ipynb"
    )
    assert [cell.execution_count for cell in code(kept)] == list(range(1, len(code(kept)) + 1))


def test_what_is_kept_is_small_and_of_no_machine(kept):
    text = PATH.read_text(encoding="utf-8")
    assert len(text) < 1_000_000
    assert not re.search(r'["\' ]/(tmp|home|root|work|Users)/', text)
    assert 'output_type": "error' not in text


def test_every_step_has_a_sentence_before_it_and_short_cells(kept):
    previous = None
    for cell in kept.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 20
            assert previous == "markdown"
        previous = cell.cell_type
