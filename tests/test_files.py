"""A file is whole, or not there."""

import pytest

from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.files import WriteError, written_whole


def names(folder):
    return [entry.name for entry in folder.iterdir()]


def test_the_file_appears_at_the_end_only(tmp_path):
    with written_whole(tmp_path / "model.h5") as temporary:
        temporary.write_bytes(b"new")
        assert not (tmp_path / "model.h5").exists()
        assert temporary.suffix == ".h5"
        assert temporary.name.startswith(".")
        assert temporary.parent == tmp_path
    assert (tmp_path / "model.h5").read_bytes() == b"new"
    assert names(tmp_path) == ["model.h5"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("earlier", [None, b"old"])
def test_an_error_leaves_what_was_there(tmp_path, error, earlier):
    path = tmp_path / "a.txt"
    if earlier:
        path.write_bytes(earlier)

    def fail() -> None:
        with written_whole(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == (["a.txt"] if earlier else [])
    assert not earlier or path.read_bytes() == earlier


def test_a_missing_folder_is_an_error(tmp_path):
    says = r"gone/a\.txt: cannot be written \(No such file or directory\)"
    with pytest.raises(WriteError, match=says), written_whole(tmp_path / "gone/a.txt") as temporary:
        temporary.write_bytes(b"")


def test_an_extra_that_is_missing_is_named():
    error = MissingExtraError("faiss", "search", "clustered search")
    assert str(error) == (
        "clustered search needs the package 'faiss', which is not installed; "
        "install it with: pip install 'deep-ranking[search]'"
    )
    assert isinstance(error, DeepRankingError)
    assert isinstance(error, ImportError)
