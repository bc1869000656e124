"""One way in for every command: its errors become a message and an exit status."""

import os
import signal
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import pytest
from waiting import PATIENCE, wait_until

import deep_ranking
from deep_ranking.cli import COMMANDS, GROUPS, STATUSES, Terminated, main, run_command
from deep_ranking.cli.shared import import_keras
from deep_ranking.errors import DeepRankingError, MissingExtraError

HEAVY = ("keras", "tensorflow", "numpy", "PIL", "h5py", "sklearn", "tqdm")


def noted(error, note):
    error.add_note(note)
    return error


@pytest.fixture
def command(monkeypatch):
    """A command whose `run` the test sets."""
    module = types.ModuleType("deep_ranking.cli.fake", "Do what the test says.")
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int)
    monkeypatch.setitem(sys.modules, "deep_ranking.cli.fake", module)
    monkeypatch.setitem(COMMANDS, "fake", "does what the test says")
    return module


def run_python(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "deep_ranking", *arguments], capture_output=True, text=True, **options
    )


def test_done(command, capsys):
    command.run = lambda args: print(args.number, args.quiet)
    assert main(["fake", "--number", "3"]) == 0
    assert main(["fake", "--quiet"]) == 0
    assert capsys.readouterr().out == "3 False\nNone True\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DeepRankingError("expected a, found b; do c"), "expected a, found b; do c"),
        (MissingExtraError("faiss", "search", "this"), "pip install 'deep-ranking[search]'"),
        (FileNotFoundError(2, "No such file or directory", "x.jpg"), "x.jpg: No such file or directory"),
    ],
)
def test_what_the_user_can_mend_is_a_message_without_a_traceback(command, capsys, error, message):
    def run(args):
        raise error

    command.run = run
    assert main(["fake"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("deep-ranking fake: error: ")
    assert output.err.endswith(f"{message}\n")
    assert output.out == ""


def test_a_defect_of_ours_is_not_hidden(command):
    command.run = lambda args: {}["missing"]
    with pytest.raises(KeyError):
        main(["fake"])


@pytest.mark.parametrize(
    ("stop", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the same command begins anew"),
        (Terminated(), 143, "terminated; the same command begins anew"),
        (noted(KeyboardInterrupt(), "say go"), 130, "interrupted; say go"),
    ],
)
def test_interrupted_in_one_line_that_says_how_to_go_on(command, capsys, stop, status, message):
    def run(args):
        raise stop

    command.run = run
    assert main(["fake"]) == status
    assert capsys.readouterr().err == f"\ndeep-ranking fake: {message}\n"


def test_sigterm_stops_as_an_interrupt_does_and_is_left_as_it_was(command, request):
    # Ray may have taken it, in an earlier test of this process.
    taken = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, taken))

    def run(args):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            tidied.append(True)

    command.run, tidied = run, []
    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL
    assert main(["fake"]) == 143
    assert tidied
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_warning_is_one_line(command, capsys):
    def run(args):
        warnings.simplefilter("always")
        warnings.warn("beware\n  of this", stacklevel=1)

    command.run = run
    assert main(["fake"]) == 0
    assert capsys.readouterr().err == "deep-ranking fake: warning: beware of this\n"


def test_the_scripts_of_the_root_have_their_own_name(command, capsys):
    def run(args):
        raise DeepRankingError("no")

    command.run = run
    assert run_command("fake", [], prog="train.py") == 1
    assert capsys.readouterr().err == "train.py: error: no\n"


def test_alone_it_shows_what_there_is_in_groups_and_three_examples(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("usage: deep-ranking COMMAND")
    assert [line.split("  ")[1][:19] for line in shown.splitlines()[2:5]] == [
        "deep-ranking index ",
        "deep-ranking search",
        "deep-ranking duplic",
    ]
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)
    assert all(f"\n{title}:\n" in shown for title in GROUPS)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["serach"], "'serach': no such command; did you mean 'search'?"),
        (["nothing"], "'nothing': no such command"),
        (["fake", "--nubmer", "3"], "--nubmer: no such flag; did you mean '--number'?"),
        (["fake", "--nubmer=3"], "--nubmer: no such flag; did you mean '--number'?"),
        (["fake", "--xyz"], "--xyz: no such flag"),
        (["fake", "-x"], "-x: no such flag"),
        (["fake", "--number", "x"], "--number: expected a whole number, found 'x'"),
        (
            ["index", "x", "--engine", "kreas"],
            "--engine: expected one of auto, keras, openvino, found 'kreas'; did you mean 'keras'?",
        ),
        (["prepare", "demo", "--sizes", "3"], "--sizes: no such flag; did you mean '--size'?"),
        (["similarity", "--modle", "m.h5"], "--modle: no such flag; did you mean '--model'?"),  # and no image
    ],
)
def test_a_wrong_word_is_one_line_with_the_nearest_right_one(command, capsys, argv, message):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("deep-ranking")
    assert f"error: {message} (see deep-ranking " in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("argv", [["--number", "-3"], ["--numb", "-3"], ["--number=-3"]])
def test_a_number_below_0_and_a_shortened_flag_are_no_wrong_flags(command, capsys, argv):
    command.run = lambda args: print(args.number)
    assert main(["fake", *argv]) == 0
    assert capsys.readouterr().out == "-3\n"


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"deep-ranking {deep_ranking.__version__}\n"


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and about in text for name, about in COMMANDS.items())
    assert all(f"  {status} " in text and about in text for status, about in STATUSES.items())


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(argv):
    code = (
        "import sys\n"
        "from deep_ranking.cli import main\n"
        "try:\n"
        f"    main({argv!r})\n"
        "except SystemExit as done:\n"
        "    assert done.code == 0\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: deep-ranking")
    assert done.stderr.split() == []


def test_odd_metadata_in_an_image_warns_no_user(command, capsys):
    def run(args):
        code = compile("import warnings; warnings.warn('odd EXIF')", "PIL/odd.py", "exec")
        exec(code, {"__name__": "PIL.odd"})
        with pytest.warns(UserWarning, match="ours"):
            warnings.warn("ours", stacklevel=1)

    command.run = run
    assert main(["fake"]) == 0


def test_as_a_module_and_a_closed_pipe(tmp_path):
    """`deep-ranking ... | head -0`: no traceback, and no complaint from the interpreter at its end."""
    demo = ["prepare", "demo", "--images_per_class", "2", "--size", "32", "--quiet"]
    done = run_python(*demo, "--output", str(tmp_path / "a"))
    assert (done.returncode, done.stderr) == (0, "")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "deep_ranking", *demo, "--output", str(tmp_path / "b")],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_ends_with_130_and_leaves_nothing(tmp_path):
    output = tmp_path / "dataset"
    demo = ["prepare", "demo", "--output", str(output), "--images_per_class", "5000", "--quiet"]
    # A shell starts its background jobs with SIGINT ignored, and so may whoever runs the tests.
    with subprocess.Popen(
        [sys.executable, "-m", "deep_ranking", *demo],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            wait_until(lambda: list(tmp_path.glob(".dataset.*/*/*.png")), "something is drawn", process)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130
    assert stderr == "\ndeep-ranking prepare: interrupted; the same command begins anew\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backend", ["nonsense", "torch"])
def test_a_backend_that_is_not_there_is_said(backend):
    code = "import sys; sys.modules['torch'] = None; import deep_ranking.cli.shared as q; q.import_keras()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    said = f"DeepRankingError: KERAS_BACKEND={backend}: Keras cannot be imported"
    assert said in done.stderr.splitlines()[-1]


def test_what_else_keeps_keras_from_being_imported_is_not_called_its_backend(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr("importlib.import_module", lambda name: int("of MPLBACKEND"))
    with pytest.raises(
        DeepRankingError, match=r"^Keras cannot be imported \(.*MPLBACKEND'\); mend what that"
    ):
        import_keras()
