"""What is printed on any terminal, into any file, and where a stream is closed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deep_ranking.cli.places import typed
from deep_ranking.search import Index

ROOT = Path(__file__).parents[2]
NAMES = ["日本/猫.jpg", "caf\udce9/\udcff.png", "two\nlines/a\r\x1b[2Jb.jpg", "plain/é.jpg"]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names") / "index"
    with Index.create(folder, 4, "x") as index:
        index.add(NAMES, np.eye(4) / 100, [name.partition("/")[0] for name in NAMES])
    return folder


def shell(tail, *arguments, **environment):
    """Run a command as a shell does, with `tail` behind it, and return status, output and errors as bytes."""
    command = ["bash", "-c", f'"$0" -m deep_ranking "$@" {tail}', sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, capture_output=True, env=environment)
    assert b"Traceback" not in done.stdout + done.stderr
    assert b"Error" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "ascii", "shift-jis"])
def test_each_hit_is_a_line_in_any_encoding(index, encoding):
    search = ("search", "--index", index, "--image", NAMES[0], "--quiet")
    status, output, _ = shell("", *search, PYTHONIOENCODING=encoding)
    lines = output.splitlines()
    assert (status, len(lines)) == (0, 4)
    able = encoding in ("utf-8", "shift-jis")
    assert lines[0].endswith("日本/猫.jpg".encode(encoding) if able else b"\\u65e5\\u672c/\\u732b.jpg")
    assert any(line.endswith(b"caf\xe9/\xff.png") for line in lines)
    assert any(line.endswith(b"two\\nlines/a\\r\\x1b[2Jb.jpg") for line in lines)
    accent = b"\\xe9" if encoding in ("ascii", "shift-jis") else "é".encode(encoding)
    assert any(line.endswith(b"plain/" + accent + b".jpg") for line in lines)
    assert b"\x1b" not in output


def test_groups_warnings_and_errors_keep_to_their_lines(index):
    status, output, _ = shell("", "duplicates", "--index", index, "--within", 1, "--quiet")
    assert (status, len(output.splitlines())) == (0, 6)
    status, _, error = shell(
        "", "search", "--index", index, "--image", "no\nwhere\x1b]0;x\x07.jpg", "--quiet"
    )
    assert (status, error.count(b"\n")) == (1, 1)
    assert b"no\\nwhere\\x1b]0;x\\x07.jpg" in error


@pytest.mark.parametrize("name", ["turned\u202egpj.exe", "it's\x1b[2J\\.jpg", "a\u2066b\n.jpg"])
def test_what_steers_a_terminal_or_turns_a_line_is_written_so_that_a_shell_takes_it(name, tmp_path):
    quoted = typed(name)
    assert quoted.isprintable()
    echoed = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True).stdout
    assert echoed == name.encode()
    for wrong in (["search", f"--{name}"], ["search", "photos", "--top", name], [name]):
        assert shell("", *wrong)[2].decode().rstrip("\n").isprintable()


@pytest.mark.parametrize("tail", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-", "2>&- | cat", "<&- 2>&- | cat"])
def test_closed_streams_are_no_failure(index, tail):
    search = ("search", "--index", index, "--image", NAMES[0], "--json")
    status, output, error = shell(tail, *search)
    assert (status, error) == (0, b"")
    if ">&-" in tail.replace("2>&-", ""):
        assert output == b""
    else:
        assert json.loads(output)["hits"][0]["path"] == NAMES[0]
    # What is wrong is not told among the results.
    status, output, error = shell(tail.replace(" | cat", ""), "duplicates", "--index", "none", "--json")
    assert (status, output) == (1, b"")


def test_no_file_takes_the_number_of_a_closed_stream():
    code = (
        "from deep_ranking.cli.streams import open_streams; open_streams()\n"
        "import os, sys; sys.exit(0 if os.open(os.devnull, os.O_RDONLY) > 2 else 3)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for tail in ("<&- >&- 2>&-", ">&-", "2>&-", "<&- 2>&-"):
        command = ["bash", "-c", f'"$0" -c "$1" {tail}', sys.executable, code]
        assert subprocess.run(command, env=environment).returncode == 0


def test_keras_is_imported_where_standard_error_is_closed():
    code = (
        "import sys\nfrom unittest.mock import MagicMock\nfrom deep_ranking.cli import shared\n"
        "sys.modules['keras'] = MagicMock()  # the real one takes its seconds\n"
        "shared.import_keras(); print('imported')"
    )
    command = ["bash", "-c", '"$0" -c "$1" 2>&-', sys.executable, code]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"imported\n")


def test_a_reader_who_leaves_is_no_failure_that_is_shown(index):
    _, output, error = shell("| true", "search", "--index", index, "--image", NAMES[0], "--quiet")
    assert (output, error) == (b"", b"")
