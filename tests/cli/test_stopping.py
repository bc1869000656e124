"""Each command says by its exit status how it ended; stopped from outside, it leaves nothing half done."""

import argparse
import importlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from waiting import PATIENCE, wait_until

from deep_ranking.cli import COMMANDS, command_module, main, run_command, shared
from deep_ranking.triplets import Triplet, write_triplets

ROOT = Path(__file__).parents[2]


def parser_of(command):
    parser = argparse.ArgumentParser(prog=command)
    command_module(command).add_arguments(parser)
    return parser


def required(parser):
    """Arguments that parse, and name what is not there."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            name = "human-triplets"  # the one that neither draws nor downloads
            yield from (name, *required(action.choices[name]))
        elif action.dest in ("place", "images", "folders") and not action.option_strings:
            yield from ["missing"] * (1 if action.dest == "place" else 2)
        elif action.required:
            value = next(iter(action.choices)) if action.choices else "missing"
            yield from [*action.option_strings[:1], str(value)]


@pytest.mark.parametrize("command", COMMANDS)
def test_failed_is_1_and_an_error_in_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([command, *required(parser_of(command)), "--quiet"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert re.fullmatch(rf"deep-ranking {command}: error: .+\n", told.err)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_usage_is_2_and_quiet_is_a_flag_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, *required(parser_of(command)), "--no_such_flag"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert re.search(r"error: --no_such_flag: no such flag \(see deep-ranking [a-z -]+ --help\)\n$", told)
    with pytest.raises(SystemExit):
        main([command, *required(parser_of(command)), "--help"])
    assert "  --quiet " in capsys.readouterr().out


def test_a_process_ends_with_its_status(tmp_path):
    for arguments, status in ((["--version"], 0), (["duplicates", "--index", "none"], 1), (["serve"], 2)):
        done = subprocess.run(
            [sys.executable, "-m", "deep_ranking", *arguments], cwd=tmp_path, capture_output=True
        )
        assert done.returncode == status


def stopped(folder, arguments, until, by=signal.SIGINT):
    """Run a command, send it a signal once something is true, and return its status and standard error."""
    loud = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    with subprocess.Popen(
        [sys.executable, "-m", "deep_ranking", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**loud, "PYTHONPATH": str(ROOT)},
        # A shell starts its background jobs with SIGINT ignored, and so may whoever runs the tests.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            wait_until(until, f"{arguments[0]} is at work", process, every=0.01)
            process.send_signal(by)
            _, error = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, error


SWALLOWS = """
import os, signal, time
for _ in range({times}):
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.01)
    except BaseException:
        pass
WHOLE = True
"""
"""A module that catches whatever is raised while it is imported, as many a library does somewhere."""

both_signals = pytest.mark.parametrize(
    ("name", "status", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")]
)


@pytest.fixture
def swallowing(tmp_path, monkeypatch):
    """Give a function that makes such a module; the signals are as a shell leaves them."""
    as_shell = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in as_shell.items()}
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "keras", ModuleType("keras"))

    def make(name, times=1):
        (tmp_path / "swallows.py").write_text(SWALLOWS.format(name=name, times=times))
        monkeypatch.delitem(sys.modules, "swallows", raising=False)

    yield make
    sys.modules.pop("swallows", None)
    for number, handler in before.items():
        signal.signal(number, handler)


@both_signals
@pytest.mark.parametrize("times", [1, 3])
def test_a_signal_in_an_import_stops_the_command_after_it(
    swallowing, monkeypatch, capsys, name, status, word, times
):
    reached = []

    def run(args):
        importlib.import_module("swallows")
        reached.append(sys.modules["swallows"].WHOLE)
        time.sleep(60)

    swallowing(name, times)
    fake = SimpleNamespace(__doc__="", add_arguments=lambda parser: None, run=run)
    monkeypatch.setattr("deep_ranking.cli.command_module", lambda command: fake)
    began = time.monotonic()
    assert run_command("fake", [], "fake") == status
    assert reached == [True]
    assert time.monotonic() - began < 50
    assert capsys.readouterr().err == f"\nfake: {word}; the same command begins anew\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("by_command", [False, True])
def test_a_signal_while_keras_is_imported_is_obeyed_before_anything_else(
    swallowing, monkeypatch, capsys, by_command
):
    reached = []

    def run(args):
        shared.import_keras("swallows")
        reached.append("the line after")

    swallowing("SIGINT")
    if by_command:
        fake = SimpleNamespace(__doc__="", add_arguments=lambda parser: None, run=run)
        monkeypatch.setattr("deep_ranking.cli.command_module", lambda command: fake)
        assert run_command("fake", [], "fake") == 130
    else:
        with pytest.raises(KeyboardInterrupt):
            run(None)
    assert sys.modules["swallows"].WHOLE
    assert reached == []


def test_a_signal_that_is_ignored_stays_ignored_in_an_import(swallowing):
    swallowing("SIGINT")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shared.import_keras("swallows")
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.long
@pytest.mark.parametrize(("by", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", ["train", "similarity", "index"])
def test_stopped_while_keras_itself_is_imported(folder, command, by, status):
    arguments = {
        "train": ["--backbone", "simple", "--weights", "none", "--image_size", 32, "--model", "new.h5"],
        "similarity": [
            "--model",
            "any.h5",
            "--image1",
            "dataset/a/0000.png",
            "--image2",
            "dataset/a/0002.png",
        ],
        "index": ["--index", "new", "--model", "any.h5", "--images", "dataset"],
    }[command]
    (folder / "any.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"model_config")  # said to be none by Keras alone

    def children():
        return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())

    before = children()  # other tests' processes may have it already

    def importing():  # after this library's, there are seconds to come
        maps = (Path(f"/proc/{child}/maps") for child in children() - before)
        return any("libtensorflow_cc" in one.read_text() for one in maps if one.exists())

    ended = stopped(folder, [command, *arguments], importing, by)
    word = "interrupted" if status == 130 else "terminated"
    assert ended[0] == status
    assert ended[1].splitlines()[-1].startswith(f"deep-ranking {command}: {word}; the same command ")
    assert not (folder / "new.h5").exists()
    assert half_files(folder) == []


def half_files(folder):
    return [path.name for path in folder.rglob("*") if ".tmp" in path.name or path.name.startswith(".")]


@pytest.mark.parametrize(
    ("by", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_sampling(tmp_path, by, status, word):
    for name in ("one", "other"):
        (tmp_path / "dataset" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "dataset" / name / "0.png")
        for number in range(1, 400):
            os.link(tmp_path / "dataset" / name / "0.png", tmp_path / "dataset" / name / f"{number}.png")
    many = ["--num_pos_images", 399, "--num_neg_images", 399]
    arguments = ["sample", "--output_directory", "out", *many, "--quiet"]
    ended = stopped(tmp_path, arguments, lambda: [*(tmp_path / "out").glob(".*")], by)
    assert ended == (status, f"\ndeep-ranking sample: {word}; the same command begins anew\n")
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images in two classes, 3,000 in all, and some triplets of the first."""
    folder = tmp_path_factory.mktemp("stopped")
    rng = np.random.default_rng(0)
    for number in range(3000):
        path = folder / "dataset" / "ab"[number % 2] / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path, compress_level=0)
    names = [f"{'ab'[number % 2]}/{number:04}.png" for number in range(40)]
    write_triplets(
        folder / "triplets.txt", (Triplet(names[i], names[i + 2], names[i + 1]) for i in range(36))
    )
    return folder


TOLD = r"epoch \d+/100000: |deep-ranking train: warning: this run will take about \d+ hours\. "


@pytest.mark.long
def test_training_then_indexing(folder):
    """One after the other, since the second needs the model of the first."""
    network = ["--backbone", "simple", "--weights", "none", "--image_size", 32, "--embedding_size", 8]
    arguments = ["train", "--epochs", 100_000, "--checkpoint_steps", 1, "--batch_size", 12, *network]
    # The log comes after the model.
    status, error = stopped(folder, arguments, (folder / "deepranking.csv").exists)
    assert status == 130
    assert half_files(folder) == []
    assert {path.name for path in folder.glob("deepranking.*")} == {
        f"deepranking.{e}" for e in ("h5", "csv", "checkpoint")
    }
    first, *epochs, blank, last = error.splitlines()
    assert first.startswith("training on ")  # and nothing of what TensorFlow says of itself
    epochs = [line for line in epochs if "this run will take about" not in line]  # as it would
    assert [line for line in epochs if not re.match(TOLD, line)] == []
    assert blank == ""
    how = "the same command with --resume goes on from the last checkpoint"
    assert last == f"deep-ranking train: interrupted; {how}"

    def some_indexed():
        try:
            with closing(sqlite3.connect(f"file:{folder}/index/store.sqlite?mode=ro", uri=True)) as database:
                return database.execute("SELECT count(*) FROM images").fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    arguments = ["index", "--index", "index", "--model", "deepranking.h5", "--images", "dataset"]
    status, error = stopped(folder, [*arguments, "--engine", "keras", "--quiet"], some_indexed)
    assert status == 130
    assert error == "\ndeep-ranking index: interrupted; the same command goes on where this one was\n"
    assert 0 < some_indexed() < 3000
    assert half_files(folder) == []
