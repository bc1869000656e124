"""The triplet file gives back what was written, streams, and names the line that is wrong."""

import gzip
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deep_ranking.errors import DeepRankingError
from deep_ranking.triplets import Triplet, TripletFileError, read_triplets, write_triplets
from deep_ranking.triplets.file import numbered_triplets, quoted, triplet_writer, write_blocks

# Every name an operating system allows: any bytes but NUL, as os.fsdecode gives them ("/" parts folders).
any_name = st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)
awkward_name = st.text(alphabet=",\"'\r\n #\ufeff\\;\t \udcff\u2028\x85\x0b写é.", min_size=1, max_size=8)
triplets = st.lists(st.builds(Triplet, *[any_name | awkward_name] * 3), max_size=12)


@pytest.fixture(scope="module", params=["triplets.txt", "triplets.txt.gz"])
def path(request, tmp_path_factory):
    return tmp_path_factory.mktemp("round trip") / request.param


@given(triplets)
def test_every_name_comes_back(path, items):
    assert write_triplets(path, items) == len(items)
    assert list(read_triplets(path)) == items


@given(triplets)
def test_blocks_write_what_triplets_write(path, items):
    names = sorted({name for triplet in items for name in triplet})
    block = np.array([[names.index(name) for name in triplet] for triplet in items]).reshape(-1, 3)
    write_triplets(path, items)
    expected = path.read_bytes()
    assert write_blocks(path, names, [block[:2], block[2:]]) == len(items)
    assert path.read_bytes() == expected


@given(items=triplets, comment=st.text(alphabet='a,"\t ', max_size=6), windows=st.booleans())
def test_comments_blank_lines_mark_and_line_ends_change_nothing(tmp_path_factory, items, comment, windows):
    end = "\r\n" if windows else "\n"
    # A lone carriage return inside a name is quoted, so that every line may end either way.
    lines = [f"#{comment}", "", " \t"]
    for triplet in items:
        lines += [",".join(map(quoted, triplet)), "", f"# {comment}"]
    path = tmp_path_factory.mktemp("comments") / "t.txt"
    path.write_bytes(b"\xef\xbb\xbf" + os.fsencode(end.join(lines)))
    assert list(read_triplets(path)) == items


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_are_triplets_or_an_error_that_names_file_and_line(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("bytes") / "t.txt"
    path.write_bytes(b"\n".join(lines))
    try:
        found = list(read_triplets(path))
    except TripletFileError as error:
        found, problem = [], str(error)
    else:
        problem = f"{path}, line "
    assert problem.startswith(f"{path}, line ")
    assert all(len(triplet) == 3 and all(triplet) for triplet in found)


def test_the_blogs_own_lines(tmp_path):
    path = tmp_path / "triplets.txt"
    path.write_text("./dataset/a/1.jpg,./dataset/a/2.jpg,/abs/b c/3.JPG\n")
    assert list(read_triplets(path)) == [("./dataset/a/1.jpg", "./dataset/a/2.jpg", "/abs/b c/3.JPG")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,b", "found 2"),
        ("a", "found 1"),
        ("a,b,c,d", "found 4"),
        ("a,,c", "an empty one"),
        (",,", "an empty one"),
        ('a,"",c', "an empty one"),
        ('"a,b,c', "a quote that is not closed"),
        ("a b c", "found 1 in 'a b c'; it has blanks where commas and line ends are wanted"),
        ("a|b|c", r"found 1 in 'a\|b\|c'; it has bars where commas"),
        ("a b,c d,e f,", 'found 4 in .*; quote a name that holds a comma: "a,b.jpg"'),
        ('"a"b,c,d', "a quote that is not closed or not doubled"),
    ],
)
def test_a_bad_line_is_named_and_shifts_nothing(tmp_path, line, problem):
    path = tmp_path / "t.txt"
    path.write_text(f'# header\na,b,"c\nd"\n\n{line}\nx,y,z\n')
    found = []
    with pytest.raises(TripletFileError, match=rf"t\.txt, line 5: .*{problem}"):
        found.extend(read_triplets(path))
    numbers = numbered_triplets(path)
    assert next(numbers) == (2, Triplet("a", "b", "c\nd"))


def test_a_quote_never_closed_is_found_soon(tmp_path):
    """The rest of a large file must not be gathered, and searched again with every line."""
    path = tmp_path / "t.txt"
    path.write_text('"a,b,c\n' + "x.jpg,y.jpg,z.jpg\n" * 300_000)
    tracemalloc.start()
    with pytest.raises(TripletFileError, match="line 1: a quote"):
        list(read_triplets(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.parametrize(
    ("beginning", "found"),
    [("", "line 2: a line of over 100,000 characters"), ("# ", None), ('"', "line 2: a quote that is not")],
)
def test_a_line_of_many_megabytes_in_a_small_archive_is_not_kept(tmp_path, beginning, found):
    path = tmp_path / "t.txt.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(b"a,b,c\n" + beginning.encode())
        for _ in range(30):
            file.write(b"x" * 2**20)
        file.write(b",y,z\na,b,d\n")
    tracemalloc.start()
    if found:
        with pytest.raises(TripletFileError, match=found):
            list(read_triplets(path))
    else:
        assert list(read_triplets(path)) == [Triplet("a", "b", "c"), Triplet("a", "b", "d")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e6


def test_the_longest_record_is_read_and_a_longer_never_taken_for_its_beginning(tmp_path):
    path = tmp_path / "t.txt"
    for names in ("a,b,{}", '"a",b,{}', "{},b,c"):
        whole = names.format("x" * (100_000 - len(names) + 2))
        path.write_text(whole)
        assert len(whole) == 100_000
        assert len(list(read_triplets(path))) == 1
        path.write_text(names.format("x" * (100_000 - len(names) + 3)))
        with pytest.raises(TripletFileError, match="line 1: a "):
            list(read_triplets(path))
    path.write_text(" " * 100_001 + "\na,b,c")
    with pytest.raises(TripletFileError, match="line 1: a line of over"):
        list(read_triplets(path))


@pytest.mark.parametrize("ending", ["txt", "txt.gz"])
def test_lines_stream_in_constant_memory(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    tracemalloc.start()
    count = write_triplets(
        path, (Triplet(f"a/{i}.jpg", f"a/{i + 1}.jpg", f"b/{i}.jpg") for i in range(100_000))
    )
    assert count == sum(1 for _ in read_triplets(path)) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6, f"{peak / 1e6:.1f} MB for a file of 3 MB"


def test_compressed_file_is_the_same_each_time_and_holds_the_same_text(tmp_path):
    items = [Triplet("a", "b,1", "c")] * 50
    for name in ("1.gz", "2.gz", "plain"):
        write_triplets(tmp_path / name, items)
    assert (tmp_path / "1.gz").read_bytes() == (tmp_path / "2.gz").read_bytes()
    assert gzip.decompress((tmp_path / "1.gz").read_bytes()) == (tmp_path / "plain").read_bytes()


def damage(data: bytes) -> dict[str, bytes]:
    middle = len(data) // 2
    return {
        "cut": data[:middle],
        "no archive": b"a,b,c\n",
        "changed": data[:middle] + bytes([data[middle] ^ 255, data[middle + 1] ^ 255]) + data[middle + 2 :],
        "wrong sum": data[:-8] + b"\0\0\0\0" + data[-4:],
    }


@pytest.mark.parametrize("how", ["cut", "no archive", "changed", "wrong sum"])
def test_damaged_gzip(tmp_path, how):
    path = tmp_path / "t.gz"
    rng = np.random.default_rng(0)
    write_triplets(path, [Triplet(*map(str, row)) for row in rng.integers(0, 10**6, (2000, 3))])
    path.write_bytes(damage(path.read_bytes())[how])
    with pytest.raises(DeepRankingError, match=r"t\.gz"):
        list(read_triplets(path))


def test_a_writer_that_fails_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "t.txt"
    write_triplets(path, [Triplet("a", "b", "c")])

    def broken():
        yield Triplet("x", "y", "z")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_triplets(path, broken())
    with pytest.raises(DeepRankingError, match="an empty file name"):
        write_triplets(path, [Triplet("x", "", "z")])
    with pytest.raises(TypeError), triplet_writer(path) as file:
        file.writelines(["x,y,z\n", None])
    assert path.read_text() == "a,b,c\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.txt"]


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.txt"):
        list(read_triplets(tmp_path / "gone.txt"))


def test_empty_file_holds_no_triplets(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"")
    assert list(read_triplets(tmp_path / "t.txt")) == []
