"""Run a notebook from top to bottom in an empty folder, and keep what its cells show.

    python notebooks/run.py notebooks/explore.ipynb

A notebook that lies here is one that ran: it holds a fingerprint of the code that its outputs came from, and
the tests compare it. A cell that fails ends the run, and the file stays as it was.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat

from deep_ranking import written_whole


def run(notebook: nbformat.NotebookNode, timeout: float = 600) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a fresh run.

    Args:
        notebook: what is run; it is not changed.
        timeout: seconds that a cell may take.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(
            nbformat.from_dict(notebook),
            timeout=timeout,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        ran = client.execute()
    ran.metadata["code_sha256"] = fingerprint(ran)
    return ran


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """Return what changes with any line of code."""
    code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()


if __name__ == "__main__":
    for name in map(Path, sys.argv[1:]):
        ran = run(nbformat.read(name, as_version=4))
        with written_whole(name) as temporary:
            nbformat.write(ran, temporary)
