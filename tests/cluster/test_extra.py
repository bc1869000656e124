"""What runs on a cluster comes with an extra, and with nothing else."""

import re
import socket
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from deep_ranking.cli import run_command
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.extras.ray.ray_cluster import join_cluster
from deep_ranking.extras.ray.ray_data import crew
from deep_ranking.extras.ray.sources import file_system
from deep_ranking.training.processes import Processes

ROOT = Path(__file__).parents[2]
OURS = {"ray", "pyarrow", "fsspec", "jax", "psycopg", "pgvector"}


def names(requirements):
    return {re.match(r"[\w.-]+", line)[0].lower() for line in requirements if re.match(r"\w", line)}


def test_a_plain_install_brings_none_of_it():
    assert not names((ROOT / "requirements.txt").read_text().splitlines()) & OURS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["cluster"]
    assert {"ray", "pyarrow", "fsspec", "jax"} <= names(extra)


def test_nothing_of_it_is_imported_by_the_rest(run):
    code = f"""
import sys
import deep_ranking.cli.index, deep_ranking.cli.train, deep_ranking.search, deep_ranking.embedding
import deep_ranking.training.run, deep_ranking.extras.ray.update
assert not {OURS - {"pyarrow", "jax", "fsspec"}} & set(sys.modules)
"""
    done = run("-c", code)  # beside Keras, which imports none of it
    assert done.returncode == 0, done.stderr


def test_a_missing_package_names_the_extra(monkeypatch):
    for name in ("ray", "jax", "fsspec"):
        monkeypatch.setitem(sys.modules, name, None)
    several = Processes(2, 0, "host:1")
    asked = (lambda: join_cluster("local"), several.choose_backend, lambda: file_system("s3://x"))
    for ask in asked:
        with pytest.raises(MissingExtraError, match=r"pip install 'deep-ranking\[cluster\]'"):
            ask()


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (
            "index",
            ["--index", "i", "--model", "m.h5", "--images", ".", "--shards", "s"],
            "--shards: no effect with",
        ),
        (
            "index",
            ["--index", "i", "--model", "m.h5", "--images", "s3://x"],
            "s3://x: only --ray reads a URL",
        ),
        ("train", ["--process", "0"], "--process: no effect without --processes"),
        ("train", ["--coordinator", "a:1"], "--coordinator: no effect without --processes"),
    ],
)
def test_flags_without_effect_are_refused(command, flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("m.h5").write_bytes(b"\x89HDF\r\n\x1a\n model_config")  # as far as it is looked at before
    assert run_command(command, flags, "x") == 1
    assert message in capsys.readouterr().err


def test_an_address_where_nothing_listens_is_told_at_once(monkeypatch):
    unasked = SimpleNamespace(is_initialized=lambda: False, shutdown=lambda: None)  # it has no `init`
    monkeypatch.setitem(sys.modules, "ray", unasked)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(DeepRankingError, match=r"expected a cluster .*refused.*; start one with"):
            join_cluster(f"127.0.0.1:{free.getsockname()[1]}")


def test_settings_are_checked():
    for values, message in (
        ((0,), "--processes: expected 1 or more, found 0"),
        ((2, 2, "a:1"), "--process: expected 0 to 1, found 2"),
        ((2, 1), "expected --coordinator HOST:PORT"),
    ):
        with pytest.raises(DeepRankingError, match=message):
            Processes(*values)
    with pytest.raises(DeepRankingError, match="--processes 2: expected Keras on jax, found tensorflow"):
        Processes(2, 0, "host:1").join()
    with pytest.raises(DeepRankingError, match="--ray_workers: expected 1 or more, found 0"):
        crew([2], 0, 0)
