"""Near-duplicates by vectors and by pixels, against plain walks, and the page."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from deep_ranking.display.pictures import duplicates_page
from deep_ranking.errors import DeepRankingError
from deep_ranking.files import file_hash
from deep_ranking.search import Group, Hit, Index, find_duplicates
from deep_ranking.search.image import Image as IndexedImage


def groups_around_the_kept(vectors, sizes, threshold):
    """Cut groups by a plain walk: the largest file takes all that is near it, then the next."""
    left, groups = sorted(range(len(vectors)), key=lambda row: (-sizes[row], row)), []
    while left:
        apart = [np.linalg.norm(vectors[row].astype(float) - vectors[left[0]].astype(float)) for row in left]
        groups.append([row for row, distance in zip(left, apart, strict=True) if distance <= threshold])
        left = [row for row in left if row not in groups[-1]]
    return {rows[0]: sorted(rows) for rows in groups if len(rows) > 1}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 60), st.floats(0, 1.5), st.integers(0, 2**32 - 1))
def test_groups_are_those_around_the_largest_files(tmp_path_factory, count, threshold, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (count, 3)).astype(np.float32) * rng.choice([1, 0.3], (count, 1))
    vectors = vectors.astype(np.float32)
    sizes = rng.integers(1, 5, count).tolist()
    images = [IndexedImage(f"{row:03}", bytes([row]) * 32, size, 1) for row, size in enumerate(sizes)]
    with Index.create(tmp_path_factory.mktemp("index"), 3, "test") as index:
        index.write(images, {image.hash: vector for image, vector in zip(images, vectors, strict=True)})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("deep_ranking.search.pairs._LEAF", 7)
            groups = find_duplicates(index.snapshot, threshold, quiet=True)
    found = {int(group.keep): [int(image.path) for image in group.images] for group in groups}
    assert found == groups_around_the_kept(vectors, sizes, threshold)
    lengths = [len(group.images) for group in groups]
    assert lengths == sorted(lengths, reverse=True)


def test_a_chain_is_cut(make_index):
    index = make_index(np.arange(5, dtype=np.float32)[:, None], labels=1)
    groups = find_duplicates(index.snapshot, 1, quiet=True)
    assert [[image.path[-5] for image in group.images] for group in groups] == [["0", "1"], ["2", "3"]]
    assert all(image.distance <= 1 for group in groups for image in group.images)


def test_distances_far_below_the_rounding_of_float32_products_are_told_apart(make_index):
    centre = np.full(100, 0.1)
    index = make_index(
        np.stack([centre, centre + 1e-6, centre + 4e-6, centre * -1]).astype(np.float32), labels=1
    )
    (group,) = find_duplicates(index.snapshot, 1.5e-5, quiet=True)
    assert [image.path[-5] for image in group.images] == ["0", "1"]
    assert group.images[1].distance == pytest.approx(1e-5, rel=0.02)
    assert group.copies == frozenset()


@pytest.mark.parametrize("threshold", [-1, float("nan")])
def test_a_threshold_that_is_no_distance_is_refused(make_index, threshold):
    with pytest.raises(DeepRankingError, match="within: expected a distance"):
        find_duplicates(make_index(np.eye(3)).snapshot, threshold)


def noise(seed, size=(64, 48)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.fixture
def photos(tmp_path):
    """Give a folder of noise: an original, a copy of its bytes, two links, one larger, a stranger."""
    for name, seed in (("trip/a.png", 0), ("trip/b.png", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise(seed).resize((96, 96)).save(tmp_path / name)
    (tmp_path / "best").mkdir()
    (tmp_path / "best/a.png").symlink_to("../trip/a.png")
    (tmp_path / "best/hard.png").hardlink_to(tmp_path / "trip/a.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "trip/a.png").read_bytes())
    noise(0).resize((192, 192)).save(tmp_path / "large.jpg", quality=95)
    return tmp_path


@pytest.fixture
def index(photos, tmp_path_factory):
    """Give an index of these, whose vectors tell nothing: all are as far apart as can be."""
    paths = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.*"))
    hashes = {path: file_hash(photos / path) for path in paths}
    stats = {path: (photos / path).stat() for path in paths}
    images = [IndexedImage(p, hashes[p], stats[p].st_size, stats[p].st_mtime_ns) for p in paths]
    vectors = dict(zip(sorted(set(hashes.values())), np.eye(3, dtype=np.float32), strict=True))
    metadata = {"images": str(photos)}
    with Index.create(tmp_path_factory.mktemp("index"), 3, "test", metadata) as index:
        index.write(images, vectors)
        yield index


def test_pixels_tell_copies_from_links_and_say_which_to_keep(index, photos):
    (group,) = index.duplicates(quiet=True)
    assert group.keep == "large.jpg"
    assert group.reason == "most pixels"
    whys = {image.path: about.why for image, about in zip(group.images, group.about, strict=True)}
    assert whys == {
        "best/a.png": "link",
        "best/hard.png": "re-saved",
        "copy.png": "re-saved",
        "large.jpg": "",
        "trip/a.png": "link",
    }
    assert group.links == {"best/a.png", "trip/a.png"}
    assert group.copies == {"best/hard.png", "copy.png"}
    assert group.won == 2 * (photos / "copy.png").stat().st_size
    assert group.about[3].width == group.about[3].height == 192
    assert group.about[3].format == "JPEG"


def test_where_files_are_gone_or_changed_equal_vectors_alone_count(index, photos, caplog):
    (photos / "large.jpg").unlink()
    (photos / "copy.png").write_bytes(b"something else")
    (group,) = index.duplicates(quiet=True)
    assert {image.path for image in group.images} == {"best/a.png", "best/hard.png", "copy.png", "trip/a.png"}
    assert "1 of 3 images are gone, or have changed since they were indexed" in caplog.text


def test_the_second_look_reads_no_file_again(index, monkeypatch):
    first = index.duplicates(quiet=True)
    monkeypatch.setattr("deep_ranking.images.hashes.look", lambda path: pytest.fail(f"read again: {path}"))
    assert index.duplicates(quiet=True) == first


def test_to_verify_looks_at_more_pairs_by_the_same_rule(index, monkeypatch):
    looked = []
    monkeypatch.setattr(
        "deep_ranking.images.likeness.near_by_hash", lambda found, most: looked.append(most) or iter(())
    )
    monkeypatch.setattr("deep_ranking.search.duplicates._NEAREST", (1, 2))
    assert index.duplicates(quiet=True, verify=True) == index.duplicates(quiet=True)
    assert looked == [24, 6]
    with pytest.raises(DeepRankingError, match="verify: expected True or False, found 'yes'"):
        index.duplicates(verify="yes")
    with pytest.raises(DeepRankingError, match="verify: expected no `within`"):
        index.duplicates(0.5, verify=True)


def groups_of(tmp_path, images):
    """Find the groups of some images, whose vectors tell nothing."""
    for name, image in images.items():
        image.save(tmp_path / name)
    stats = [(tmp_path / name).stat() for name in images]
    contents = [file_hash(tmp_path / name) for name in images]
    with Index.create(tmp_path / "index", 8, "test", {"images": str(tmp_path)}) as index:
        rows = zip(images, contents, stats, strict=True)
        made = [IndexedImage(name, content, stat.st_size, stat.st_mtime_ns) for name, content, stat in rows]
        index.write(made, dict(zip(contents, np.eye(8, dtype=np.float32), strict=False)))
        return index.duplicates(quiet=True)


def test_a_mirrored_crop_is_with_its_photo_where_the_crop_is(tmp_path):
    photo = noise(0).resize((240, 180), Image.Resampling.BICUBIC)
    crop = photo.crop((15, 10, 235, 165))
    (group,) = groups_of(
        tmp_path,
        {
            "a.png": photo,
            "b.png": photo.resize((200, 150)),
            "c.png": crop,
            "d.png": ImageOps.mirror(crop),
        },
    )
    assert (group.keep, [about.why for about in group.about]) == (
        "a.png",
        ["", "re-saved", "part of", "part of"],
    )


def test_the_photo_is_kept_and_not_its_screenshot_unless_that_shows_more_of_it(tmp_path):
    photo = noise(0).resize((240, 180), Image.Resampling.BICUBIC)
    page = Image.new("RGB", (640, 480), "white")
    page.paste(photo, (200, 100))
    page.paste("navy", (0, 0, 640, 30))
    (group,) = groups_of(tmp_path, {"page.png": page, "photo.png": photo})
    assert (group.keep, group.reason) == ("photo.png", "without the frame")
    assert [about.why for about in group.about] == ["part of", ""]
    (tmp_path / "small").mkdir()
    (group,) = groups_of(tmp_path / "small", {"page.png": page, "photo.png": photo.resize((120, 90))})
    assert (group.keep, group.reason) == ("page.png", "the whole")


def test_a_thousand_equal_images_are_one_group_at_once(make_index):
    index = make_index(np.ones((1000, 4), np.float32), labels=1)
    for within in (None, 0, 0.5):
        (group,) = find_duplicates(index.snapshot, within, quiet=True)
        assert len(group.images) == 1000


def test_a_page_escapes_names_and_says_when_there_is_nothing(tmp_path):
    image = Hit("<script>&.png", 0.25, "")
    Image.new("RGB", (8, 8)).save(tmp_path / image.path)
    page = "".join(duplicates_page([Group((image, image), frozenset())], 0.5, str(tmp_path)))
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert "<script>" not in page
    assert "&lt;script&gt;&amp;.png" in page
    assert "There are none" not in page
    assert "There are none" in "".join(duplicates_page([], 0.5, ""))
