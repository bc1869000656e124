"""What cannot be is said at once, long before Keras has taken its seconds."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from deep_ranking.cli import COMMANDS, main

SECONDS = 0.3
"""Of a processor, at most; a person takes that for at once."""

NUMPY = 0.12
"""Of a processor that has nothing else to do, to start Python and import NumPy."""

COMMAND = [sys.executable, "-m", "deep_ranking"]

REFUSED = {  # by what is wrong, and for each command: 1 failed, 2 usage
    "no such folder": [
        "index none",
        "index --images none",
        "search none a.png",
        "search --index none --image a.png",
        "duplicates none",
        "serve none",
        "ratings export none",
        "evaluate none",
        "evaluate --gallery none --queries none",
        "report --train none --test photos",
        "report none photos",
        "sample none",
        "train --dataset none --mining hard",
        "features --dataset none --feature color --output x.npz",
    ],
    "no such file": [
        "search photos none.png",
        "similarity a.png none.png",
        "similarity a.png a.png --model none.h5",
        "index photos --model none.h5",
        "duplicates photos --weights none.h5",
        "evaluate photos --triplets none.txt",
        "train --triplets none.txt",
        "train --weights none.h5",
        "learn none",
        "blend --triplets none.txt",
        "golden --triplets none.txt --features a=b.npz",
        "export --format onnx --output x.onnx",
        "prepare tiny-imagenet --output t --archive none.zip",
    ],
    "no model": [
        "index photos --model text.h5",
        "index photos --model image.keras",
        "search photos a.png --model image.h5",
        "serve photos --model text.h5",
        "similarity a.png a.png --model text.h5",
        "similarity a.png a.png --model weights.h5",
        "evaluate photos --model image.h5",
        "report --train photos --test photos --model text.h5",
        "export --format onnx --output x.onnx --model image.h5",
        "blend --weights text.h5",
    ],
    "no place": [
        "search photos a.png --html photos",
        "duplicates photos --html photos",
        "evaluate photos --output_embeddings photos",
        "export --model weights.h5 --format onnx --output folder.onnx",
    ],
    "no image": ["similarity a.png text.png", "search photos text.png"],
    "no such flag": [f"{name} --nosuch" for name in COMMANDS],
    "usage": [
        "report photos",
        "report photos --test photos",
        "search photos a.png --top five",
        "index photos --engine kreas",
    ],
    "out of range": [
        "search photos a.png --within -1",
        "search photos a.png --within 0.2 --beyond 0.5",
        "search photos a.png --top -1",
        "duplicates photos --within -1",
    ],
}
WORDS = {
    "no such folder": ("none: expected", "found no"),
    "no such file": (": ", " no"),
    "no model": ("h5", "keras", "found"),
    "no place": ("cannot be written there (a folder of this name is there); choose another place",),
    "no image": ("text.png: cannot be read as an image",),
    "no such flag": ("--nosuch: no such flag",),
    "usage": ("expected two folders", "--top: expected a whole number", "did you mean 'keras'?"),
    "out of range": ("within: expected", "expected 1 result or more"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an image, in a folder and outside of it, and with what is none."""
    h5py = pytest.importorskip("h5py")
    root = tmp_path_factory.mktemp("refusals")
    (root / "photos").mkdir()
    (root / "folder.onnx").mkdir()
    for name in ("a.png", "photos/a.png"):
        Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save(root / name)
    for name in ("text.h5", "text.png"):
        (root / name).write_text("neither a model nor an image\n")
    for name in ("image.h5", "image.keras"):
        (root / name).write_bytes((root / "a.png").read_bytes())
    with h5py.File(root / "weights.h5", "w") as file:  # of a backbone, as Keras 2 wrote them
        file.attrs["layer_names"] = [b"conv"]
        file["conv/kernel"] = np.zeros((3, 3, 3, 8), np.float32)
    return root


@pytest.mark.parametrize(
    ("wrong", "typed"), [(wrong, typed) for wrong, lines in REFUSED.items() for typed in lines]
)
def test_it_is_refused_at_once_in_one_line(folder, wrong, typed):
    environment = {name: value for name, value in os.environ.items() if name != "DEEP_RANKING_WEIGHTS"}
    give_up = time.monotonic() + 20
    while True:
        error, status, seconds = processor_time([*COMMAND, *typed.split()], folder, environment)
        assert status == (2 if wrong in ("no such flag", "usage") else 1), error
        assert error.startswith(f"deep-ranking {typed.split()[0]}: error: ")
        assert error.count("\n") == 1
        assert any(word in error for word in WORDS[wrong]), error
        if seconds <= SECONDS:
            break
        # On a busy machine NumPy, of which most need the import, takes longer by itself: longer by as much.
        alone = processor_time([sys.executable, "-c", "import numpy"], folder, environment)[2]
        if seconds <= SECONDS * max(1, alone / NUMPY):
            break
        assert time.monotonic() < give_up, f"{seconds:.2f} s, where NumPy took {alone:.2f}"
    assert not (folder / "photos.index").exists()


@pytest.mark.parametrize("flag", ["--port 99999", "--upload_minutes -1", "--public_url x", "--seed -1"])
def test_serve_looks_at_its_flags_before_it_describes_a_folder(folder, monkeypatch, capsys, flag):
    monkeypatch.chdir(folder)
    assert main(["serve", "photos", *flag.split()]) == 1
    assert ": expected" in capsys.readouterr().err
    assert not (folder / "photos.index").exists()


def processor_time(command, folder, environment) -> tuple[str, int, float]:
    """Run a command in a process that is started afresh; what it said, its exit status, and its seconds."""
    environment = {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        error = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return error, process.returncode, used.ru_utime + used.ru_stime


@pytest.mark.parametrize(
    "typed", ["search photo", "index photo", "search photos b.png", "similarity a.pgn a.png"]
)
def test_what_lies_there_under_nearly_the_name_is_asked_after(folder, monkeypatch, capsys, typed):
    monkeypatch.chdir(folder)
    assert main(typed.split()) == 1
    assert capsys.readouterr().err.endswith(("; did you mean 'photos'?\n", "; did you mean 'a.png'?\n"))


@pytest.mark.parametrize(
    "typed",
    [
        ["index", ""],
        ["index", "--images", ""],
        ["search", "", "a.png"],
        ["search", "photos", ""],
        ["train", "--model="],
    ],
)
def test_an_empty_word_as_an_empty_variable_leaves_it_is_not_the_current_folder(
    folder, monkeypatch, capsys, typed
):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit, match="2"):
        main(typed)
    assert "expected a value, found ''; is a variable of your shell empty?" in capsys.readouterr().err
    assert not folder.with_name(f"{folder.name}.index").exists()
