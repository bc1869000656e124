"""Images out of files, tar and Parquet files, here and behind a URL; shards that stay what they are."""

import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture
from samples import PixelEmbedder, write_image

from deep_ranking.containers import ContainerError
from deep_ranking.errors import DeepRankingError
from deep_ranking.extras.ray.shards import Result, Shard, ShardFolder, from_parquet, make_shards, to_parquet
from deep_ranking.extras.ray.sources import (
    Source,
    absolute_root,
    file_system,
    find_sources,
    read_source,
)
from deep_ranking.extras.ray.update import _listed
from deep_ranking.extras.ray.worker import ShardEmbedder
from deep_ranking.images.decode import FORMATS
from deep_ranking.images.find import find_images
from deep_ranking.search.image import Image

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra 'cluster'")
fsspec = pytest.importorskip("fsspec", reason="needs the extra 'cluster'")


def png(grey):
    data = io.BytesIO()
    Picture.new("L", (4, 4), grey).save(data, "PNG")
    return data.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_table(path, columns):
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def read(root):
    """Return (path, content, label) of all images below a folder or a URL."""
    root = absolute_root(root)
    return [tuple(image) for source in find_sources(root) for image in read_source(root, source)]


def test_a_folder_gives_the_images_that_indexing_here_finds(tmp_path):
    for name in ("b/1.png", "a/2.png", "top.png", "b/c/3.png"):
        write_image(tmp_path / name, name)
    (tmp_path / "a/no image.png").write_text("text")
    (tmp_path / "notes.csv").write_text("text")
    skipped = []
    sources = find_sources(str(tmp_path), skipped.append)
    assert [source.path for source in sources] == find_images(tmp_path)
    for source in sources:
        status = (tmp_path / source.path).stat()
        assert (source.size, source.mtime) == (status.st_size, status.st_mtime_ns)
    assert sorted(skipped) == ["a/no image.png", "notes.csv"]
    labels = {path: label for path, _, label in read(tmp_path)}
    assert labels == {"b/1.png": "b", "a/2.png": "a", "top.png": "", "b/c/3.png": "b"}
    assert read(f"file://{tmp_path}") == read(tmp_path)


def test_a_web_dataset_has_labels_beside_its_images(tmp_path):
    members = [
        ("./001.cls", b"7\n"),
        ("./001.png", png(1)),
        ("./001.json", b"{}"),
        ("./002.png", png(2)),
        ("./002.cls", b"8"),
        ("birds/x.y.png", png(3)),
    ]
    write_tar(tmp_path / "data.tar", members)
    assert read(tmp_path) == [
        ("data.tar/001.png", png(1), "7"),
        ("data.tar/002.png", png(2), "8"),
        ("data.tar/birds/x.y.png", png(3), "birds"),
    ]


def test_tables_of_several_kinds(tmp_path):
    write_table(
        tmp_path / "a.parquet", {"bytes": [png(1), png(2)], "path": ["x/1", "x/2"], "label": [3, None]}
    )
    write_table(tmp_path / "b.parquet", {"image": [{"bytes": png(5), "path": "ignored"}]})
    write_table(tmp_path / "c.parquet", {"bytes": [png(6)], "path": [b"x/6"], "label": [b"six"]})
    assert read(tmp_path) == [
        ("a.parquet/x/1", png(1), "3"),
        ("a.parquet/x/2", png(2), ""),
        ("b.parquet/0", png(5), ""),
        ("c.parquet/x/6", png(6), "six"),
    ]


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.parquet", lambda path: write_table(path, {"x": [1]}), "named bytes or image, found x"),
        ("a.parquet", lambda path: path.write_bytes(b"nothing"), "damaged, or no Parquet file"),
        (
            "a.parquet",
            lambda path: write_table(path, {"image": ["1.png"]}),
            "encoded images in 'image', found str",
        ),
        (
            "a.parquet",
            lambda path: write_table(path, {"image": [b""], "path": pyarrow.array([b"\xff"]).view("string")}),
            "damaged, or no Parquet file",
        ),
        ("a.tar", lambda path: path.write_bytes(b"x" * 600), "cut short, or no tar file"),
    ],
)
def test_a_damaged_container_is_skipped_and_said(tmp_path, name, write, message):
    images = tmp_path / "images"
    images.mkdir()
    write(images / name)
    with pytest.raises(ContainerError, match=f"{name}: .*{message}"):
        read(images)
    sources = find_sources(str(images))
    shards = make_shards(sources, lambda source: True, "model", size=4)
    folder = ShardFolder(tmp_path / "shards")
    worker = ShardEmbedder(PixelEmbedder, str(images), folder, threads=1)
    assert worker({"shard": shards[0].to_json()}) == {"name": shards[0].name}
    result = from_parquet(folder.read(shards[0].name))
    assert not result.images
    assert list(result.errors) == [name]
    assert message in result.errors[name]


def test_a_tar_file_cut_short_gives_nothing_of_it(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    write_tar(images / "a.tar", [(f"{i:03}.png", png(i)) for i in range(200)])
    whole = (images / "a.tar").read_bytes()
    (images / "a.tar").write_bytes(whole[: len(whole) - 12_000])
    folder = ShardFolder(tmp_path / "shards")
    (shard,) = make_shards(find_sources(str(images)), lambda source: True, "model", size=4)
    ShardEmbedder(PixelEmbedder, str(images), folder, threads=1)({"shard": shard.to_json()})
    result = from_parquet(folder.read(shard.name))
    assert (result.images, list(result.errors)) == ([], ["a.tar"])


def test_a_bucket_is_read_and_written_like_a_folder(tmp_path):
    """fsspec's memory stands for S3 and the like: names without folders, times as dates, whole objects."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/cats/1.png", png(1))
    memory.pipe("/bucket/.hidden/2.png", png(2))
    memory.pipe("/bucket/notes.txt", b"text")
    write_tar(tmp_path / "x.tar", [("3.png", png(3))])
    memory.pipe("/bucket/x.tar", (tmp_path / "x.tar").read_bytes())
    skipped = []
    sources = find_sources("memory://bucket", skipped.append)
    assert [(source.path, source.size > 0, source.mtime > 1e18) for source in sources] == [
        ("cats/1.png", True, True),
        ("x.tar", True, True),
    ]
    assert skipped == ["notes.txt"]
    assert read("memory://bucket/") == [("cats/1.png", png(1), "cats"), ("x.tar/3.png", png(3), "")]
    folder = ShardFolder("memory://results")
    assert (folder.names(), folder.holds("a")) == (set(), False)
    folder.write("a", b"content")
    assert (folder.names(), folder.holds("a"), folder.read("a")) == ({"a"}, True, b"content")


def test_wrong_places_are_errors(tmp_path):
    with pytest.raises(DeepRankingError, match="nosuch://x: cannot be opened"):
        file_system("nosuch://x")
    with pytest.raises(DeepRankingError, match="expected a folder of images, found nothing"):
        find_sources(str(tmp_path / "missing"))


@given(
    st.sets(st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1), min_size=1),
    st.integers(1, 5),
    st.randoms(),
)
def test_shards_hold_each_image_once_and_a_change_touches_one(names, size, random):
    sources = sorted(Source(name, 1, 2) for name in names)
    shards = make_shards(sources, lambda source: True, "model", size)
    assert sorted(source for shard in shards for source in shard.sources) == sources
    assert all(len(shard.sources) <= 4 * size for shard in shards)
    assert [Shard.from_json(shard.to_json()) for shard in shards] == shards
    assert len({shard.name for shard in shards}) == len(shards)
    assert {s.name for s in make_shards(sources, lambda source: True, "other", size)}.isdisjoint(
        shard.name for shard in shards
    )
    # One that is changed, or not wanted, leaves the other shards as they are.
    place = random.randrange(len(sources))
    changed = [*sources[:place], sources[place]._replace(mtime=3), *sources[place + 1 :]]
    for other in (
        make_shards(changed, lambda source: True, "model", size),
        make_shards(sources, lambda source: source != sources[place], "model", size),
    ):
        assert len({shard.name for shard in shards} - {shard.name for shard in other}) == 1


def test_a_new_image_changes_few_shards():
    sources = [Source(f"{i:05}.jpg", 1, 2) for i in range(5000)]
    new = sorted([*sources, Source("02500x.jpg", 1, 2)])
    before, after = ({s.name for s in make_shards(part, lambda s: True, "m", 32)} for part in (sources, new))
    assert 100 < len(before) < 250
    assert 1 <= len(after - before) <= 2


def test_containers_whose_stamp_is_stored_are_done():
    sources = [Source("a.tar", 5, 6), Source("b/c.parquet", 7, 8), Source("d.jpg", 1, 2)]
    stored = {"a.tar/x/1.jpg": (5, 6), "b/c.parquet/1": (7, 9), "gone.tar/1.jpg": (5, 6), "e.tar.jpg": (1, 1)}
    listed, done = _listed(sources, stored)
    assert listed == {"d.jpg": (1, 2), "a.tar/x/1.jpg": (5, 6)}
    assert done == {"a.tar"}


def test_a_shard_comes_back_as_it_was_written():
    rng = np.random.default_rng(0)
    images = [
        Image(f"ü/{i}.jpg", bytes([i % 2]) * 32, 10 + i, 1_700_000_000_123_456_789, "ü") for i in range(3)
    ]
    vectors = {bytes([i]) * 32: rng.standard_normal(5).astype(np.float32) for i in range(2)}
    for result in (Result(images, vectors, {"bad.jpg": "why"}), Result([], {}, {"bad.jpg": "why"})):
        found = from_parquet(to_parquet(result, 5))
        assert (found.images, found.errors) == (result.images, result.errors)
        assert found.vectors.keys() == result.vectors.keys()
        assert all(np.array_equal(found.vectors[h], result.vectors[h]) for h in result.vectors)
    with pytest.raises(DeepRankingError, match="expected a finished shard, found a damaged file"):
        from_parquet(to_parquet(result, 5)[:-20])


def test_a_damaged_byte_of_a_shard_is_found_wherever_the_vectors_are():
    vector = np.arange(4, dtype=np.float32)
    whole = to_parquet(Result([Image("a", bytes(32), 1, 1)], {bytes(32): vector}), 4)
    start = whole.index(vector.tobytes())
    for place in range(start, start + vector.nbytes):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        with pytest.raises(DeepRankingError, match="expected a finished shard, found a damaged file"):
            from_parquet(bytes(damaged))


def test_a_table_that_is_no_shard_is_told():
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), file)
    with pytest.raises(DeepRankingError, match="expected a finished shard, found a damaged file"):
        from_parquet(file.getvalue())


def test_odd_images_are_told_and_the_rest_embedded(tmp_path):
    class Odd(PixelEmbedder):
        def embed(self, images, *, quiet=True):
            vectors, failures = super().embed(images)
            vectors[(vectors == 1).all(axis=1)] = np.nan
            return vectors, failures

    images = tmp_path / "images"
    images.mkdir()
    write_tar(
        images / "a.tar",
        [
            ("1.png", png(9)),
            ("copy.png", png(9)),
            ("white.png", png(255)),
            ("broken.png", b"no"),
            ("2.png", png(7)),
        ],
    )
    (shard,) = make_shards(find_sources(str(images)), lambda source: True, "model", size=4)
    folder = ShardFolder(tmp_path / "shards")
    ShardEmbedder(Odd, str(images), folder, threads=1)({"shard": shard.to_json()})
    result = from_parquet(folder.read(shard.name))
    assert [image.path for image in result.images] == ["a.tar/1.png", "a.tar/copy.png", "a.tar/2.png"]
    assert len(result.vectors) == 2
    assert result.errors == {
        "a.tar/white.png": "the model gives NaN or infinity for it",
        "a.tar/broken.png": "cannot be read as an image (its format is unknown); expected one of "
        + ", ".join(FORMATS),
    }
