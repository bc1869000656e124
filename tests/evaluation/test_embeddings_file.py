"""The embeddings file: what goes in comes back; what is wrong is said."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deep_ranking.errors import DeepRankingError
from deep_ranking.vectors import Embeddings, read_embeddings, write_embeddings

# As an operating system allows them: any character but NUL; bytes that are not UTF-8 as surrogate escapes.
names = st.text(st.characters(exclude_characters="\0", exclude_categories=()), min_size=1)


@given(st.lists(names, min_size=1, max_size=8, unique=True), st.data())
@settings(max_examples=80, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, paths, data):
    numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
    vectors = data.draw(arrays(np.float32, (len(paths), data.draw(st.integers(1, 4))), elements=numbers))
    path = tmp_path_factory.mktemp("embeddings") / "e.npz"
    write_embeddings(path, Embeddings(np.array(paths), vectors))
    found = read_embeddings(path)
    assert found.paths.tolist() == paths
    np.testing.assert_array_equal(found.vectors, vectors)
    assert found.vectors.dtype == np.float32
    assert found.rows(paths[::-1]).tolist() == list(range(len(paths)))[::-1]


def test_the_same_embeddings_give_the_same_bytes(tmp_path):
    embeddings = Embeddings(np.array(["a", "b"]), np.eye(2, dtype=np.float32))
    write_embeddings(tmp_path / "1.npz", embeddings)
    write_embeddings(tmp_path / "2.npz", embeddings)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_made_elsewhere(tmp_path, dtype, save):
    path = tmp_path / "e.npz"
    save(path, vectors=np.eye(2, dtype=dtype), paths=["a", "b"], labels=[1, 2])
    np.testing.assert_array_equal(read_embeddings(path).vectors, np.eye(2))
    assert read_embeddings(path).vectors.dtype == np.float32


GOOD = np.eye(2, dtype=np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"paths": ["a", "b"]}, "missing vectors; found paths"),
        ({}, "missing paths and vectors; found none"),
        ({"paths": ["a"], "vectors": GOOD}, "as many paths as vectors, found 1 and 2"),
        ({"paths": ["a", "a"], "vectors": GOOD}, "'a' stands more than once"),
        ({"paths": ["a", ""], "vectors": GOOD}, "row 1 is empty"),
        ({"paths": [1, 2], "vectors": GOOD}, "paths: expected text .*found int64"),
        ({"paths": [b"a", b"b"], "vectors": GOOD}, "paths: expected text"),
        ({"paths": [["a", "b"]], "vectors": GOOD}, r"paths: expected text .*shape \(1, 2\)"),
        ({"paths": np.array(["a", "b"], object), "vectors": GOOD}, "without Python objects"),
        ({"paths": ["a", "b"], "vectors": GOOD[0]}, r"vectors: expected vectors .*shape \(2,\)"),
        ({"paths": [], "vectors": np.zeros((0, 2))}, "vectors: expected vectors"),
        ({"paths": ["a", "b"], "vectors": GOOD * [1, np.nan]}, "vectors: row 0 holds NaN"),
        ({"paths": ["a", "b"], "vectors": np.eye(2) * 1e39}, "vectors: row 0 holds NaN, infinity"),
        ({"paths": ["a", "b"], "vectors": GOOD * 1j}, "vectors: expected real numbers"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path, content, message):
    path = tmp_path / "given.npz"
    np.savez(path, **content)
    with pytest.raises(DeepRankingError, match=rf"given\.npz: .*{message}"):
        read_embeddings(path)


def saved(**arrays_) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays_)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name + ".npy", content)
    return file.getvalue()


WHOLE = saved(paths=["a", "b"], vectors=np.random.default_rng(0).random((2, 500)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a zip",
        WHOLE[: len(WHOLE) // 2],
        WHOLE[:600] + bytes(50) + WHOLE[650:],
        zipped(paths=b"", vectors=b""),
        zipped(paths=b"text", vectors=b"text"),
    ],
)
def test_a_broken_file_is_said(tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(DeepRankingError, match=r"broken\.npz: "):
        read_embeddings(path)


def test_a_missing_image_is_named():
    with pytest.raises(DeepRankingError, match=r"no embedding of 'c.jpg' among 2 images such as 'a.jpg'"):
        Embeddings(np.array(["a.jpg", "b.jpg"]), GOOD).rows(["a.jpg", "c.jpg"])


def test_vectors_of_another_type_are_refused_before_writing():
    with pytest.raises(DeepRankingError, match="expected float32, found float64"):
        Embeddings(np.array(["a", "b"]), np.eye(2))
