"""The rated triplets come out one folder a query, with a triplet file that fits them."""

import pytest

from deep_ranking.datasets.archive import ArchiveError
from deep_ranking.datasets.human_triplets import SOURCE, TWICE, prepare_human_triplets
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.find import find_classes
from deep_ranking.triplets import TripletFileError, read_triplets


@pytest.mark.parametrize("root", ["", "similarity/"])
def test_layout(pack, human_members, tmp_path, root):
    output = tmp_path / "human"
    human_members["triplets.txt"] += "images/29/a.jpg,images/29/a.jpg,images/29/c.jpg\n"
    path = pack({root + name: content for name, content in human_members.items()})
    counts = {"queries": 2, "images": 6, "triplets": 2, TWICE: 1}
    assert prepare_human_triplets(output, path, quiet=True) == counts
    assert find_classes(output) == {
        query: [f"{query}/{name}.jpg" for name in "abc"] for query in ("29", "pop-up+cards")
    }
    assert list(read_triplets(output / "triplets.txt")) == [
        ("29/a.jpg", "29/b.jpg", "29/c.jpg"),
        ("pop-up+cards/c.jpg", "pop-up+cards/b.jpg", "pop-up+cards/a.jpg"),
    ]
    assert (output / "29/b.jpg").read_bytes() == human_members["images/29/b.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "error", "problem"),
    [
        ("triplets.txt", None, ArchiveError, r"found no triplets\.txt"),
        (
            "triplets.txt",
            "images/29/a.jpg,images/29/b.jpg,images/29/c.jpg\nimages/29/a.jpg,images/29/b.jpg,images/29/d.jpg\n",
            ArchiveError,
            r"triplets\.txt, line 2: expected an image of the archive, found 'images/29/d\.jpg'",
        ),
        ("triplets.txt", "images/29/a.jpg,images/29/b.jpg\n", TripletFileError, "line 1: expected 3 names"),
        ("images/loose.jpg", b"x", ArchiveError, r"found 'images/loose\.jpg', which has no query"),
    ],
)
def test_other_layouts_leave_nothing(pack, human_members, tmp_path, name, content, error, problem):
    human_members.pop(name, None)
    if content is not None:
        human_members[name] = content
    path = pack(human_members)
    with pytest.raises(error, match=problem):
        prepare_human_triplets(tmp_path / "human", path, quiet=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["archive.zip"]


def test_without_an_archive_it_says_where_the_data_is_from(tmp_path):
    with pytest.raises(DeepRankingError, match=SOURCE):
        prepare_human_triplets(tmp_path / "human", None)


def test_the_real_archive(shared, tmp_path):
    archive = shared / "data/human-triplets-development.zip"
    counts = prepare_human_triplets(tmp_path / "human", archive, quiet=True)
    assert counts == {"queries": 555, "images": 6536, "triplets": 2464, TWICE: 5}
    triplets = list(read_triplets(tmp_path / "human/triplets.txt"))
    assert len(triplets) == 2464
    assert all((tmp_path / "human" / name).is_file() for triplet in triplets for name in triplet)
    assert len({name.split("/")[0] for triplet in triplets for name in triplet}) <= 555
