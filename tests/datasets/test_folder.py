"""A folder is whole, or as it was before."""

from pathlib import Path

import pytest

from deep_ranking.datasets.folder import check_free, folder_written_whole
from deep_ranking.errors import DeepRankingError


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fill(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a/1.png").write_bytes(b"1")
    (folder / "z.csv").write_bytes(b"z")


def kept(folder: Path) -> None:
    folder.mkdir()
    (folder / "README.md").write_text("read me")
    (folder / ".gitkeep").write_text("")


def test_a_new_folder_appears_at_the_end(tmp_path):
    output = tmp_path / "deep/er/new"
    with folder_written_whole(output) as folder:
        fill(folder)
        assert not output.exists()
    assert tree(output) == ["a", "a/1.png", "z.csv"]
    assert tree(output.parent) == ["new", "new/a", "new/a/1.png", "new/z.csv"]


def test_a_folder_with_only_a_readme_and_hidden_files_is_filled(tmp_path):
    kept(tmp_path / "dataset")
    with folder_written_whole(tmp_path / "dataset") as folder:
        fill(folder)
        assert tree(tmp_path / "dataset")[-1] == "README.md"
    assert tree(tmp_path / "dataset") == [".gitkeep", "README.md", "a", "a/1.png", "z.csv"]
    assert (tmp_path / "dataset/README.md").read_text() == "read me"


def test_the_working_folder_itself_and_a_link(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with folder_written_whole(".") as folder:
        fill(folder)
    assert tree(tmp_path / "here") == ["a", "a/1.png", "z.csv"]
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    with folder_written_whole(tmp_path / "link") as folder:
        fill(folder)
    assert tree(tmp_path / "disk") == ["a", "a/1.png", "z.csv"]
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_nothing_new(tmp_path, exists, error):
    output = tmp_path / "dataset"
    if exists:
        kept(output)
    before = tree(tmp_path)

    def fail() -> None:
        with folder_written_whole(output) as folder:
            fill(folder)
            raise error

    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == before


def test_a_move_that_fails_half_way_is_undone(tmp_path, monkeypatch):
    output = tmp_path / "dataset"
    kept(output)
    before = tree(tmp_path)
    rename = Path.rename

    def fail_at_the_last(self, target):
        if Path(target) == output / "z.csv":
            raise OSError(5, "Input/output error", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_at_the_last)
    with pytest.raises(OSError, match="Input/output"), folder_written_whole(output) as folder:
        fill(folder)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["x.png"], r"dataset: expected an empty folder, found 'x.png'; nothing is overwritten: remove them"),
        (["README.md", "b.png", "c.png"], "found 'b.png' and 1 more"),
    ],
)
def test_a_folder_that_holds_something_is_refused(tmp_path, names, problem):
    output = tmp_path / "dataset"
    output.mkdir()
    for name in names:
        (output / name).write_text("mine")
    with pytest.raises(DeepRankingError, match=problem), folder_written_whole(output):
        pass
    assert tree(output) == sorted(names)


def test_a_folder_filled_meanwhile_is_left_alone(tmp_path):
    def write() -> None:
        with folder_written_whole(tmp_path / "dataset") as folder:
            fill(folder)
            (tmp_path / "dataset").mkdir()
            (tmp_path / "dataset/theirs.txt").write_text("theirs")

    with pytest.raises(DeepRankingError, match="expected an empty folder"):
        write()
    assert tree(tmp_path) == ["dataset", "dataset/theirs.txt"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "dataset").write_text("mine")
    with pytest.raises(DeepRankingError, match="expected a folder to write into, found a file"):
        check_free(tmp_path / "dataset")
