"""An index follows a folder: what is new, changed, gone, renamed, copied, broken."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import PixelEmbedder, write_image

from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import read_image
from deep_ranking.search import Index, Options, update_index
from deep_ranking.search.update import Plan, make_plan

stamps = st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 2), st.integers(0, 2)))


@given(stamps, stamps)
def test_a_plan_parts_all_paths_and_carrying_it_out_gives_the_listing(stored, listed):
    plan = make_plan(stored, listed)
    parts = [plan.new, plan.changed, plan.unchanged, plan.vanished]
    assert sorted(path for part in parts for path in part) == sorted(stored.keys() | listed.keys())
    result = {path: stamp for path, stamp in stored.items() if path not in plan.vanished}
    result |= {path: listed[path] for path in plan.new + plan.changed}
    assert result == listed
    assert not set(plan.new) & stored.keys()
    assert make_plan(result, listed) == Plan((), (), tuple(listed), ())


folders = st.dictionaries(
    st.sampled_from([f"{d}{f}.png" for d in ("", "x/", "y/") for f in "abc"]), st.sampled_from("12345")
)


@settings(max_examples=25, deadline=None)
@given(st.lists(folders.filter(bool), min_size=2, max_size=4), st.integers(1, 5))
def test_after_any_changes_the_index_holds_the_folder_and_no_content_is_embedded_twice(states, chunk):
    """Renames, copies, swaps and changes all arise, since few contents move among few names."""
    with tempfile.TemporaryDirectory() as home:
        root, embedder, clock = Path(home) / "images", PixelEmbedder(), 10**9
        with Index.create(Path(home) / "index", 12, "pixels") as index:
            held: dict[str, str] = {}
            for state in states:
                for path in held:
                    (root / path).unlink()
                for path, name in state.items():
                    write_image(root / path, name)
                    if held.get(path) != name:
                        clock += 1
                    os.utime(root / path, ns=(0, 10**9 if held.get(path) == name else clock))
                embedder.seen.clear()
                report = update_index(index, root, sorted(state), embedder, chunk, quiet=True)
                assert {image.path for image in index.snapshot.images} == set(state)
                for image, vector in zip(index.snapshot.images, index.snapshot.matrix, strict=True):
                    assert np.array_equal(
                        vector, read_image(root / image.path, (2, 2)).ravel() / np.float32(255)
                    )
                    assert image.label == ("" if "/" not in image.path else image.path[0])
                assert len(embedder.seen) == len(set(state.values()) - set(held.values())) == report.embedded
                counts = report.embedded + report.renamed + report.reused + report.unchanged
                assert counts == len(state)
                assert report.removed + report.renamed == len(held.keys() - state.keys())
                held = state


@pytest.fixture
def images(tmp_path):
    for i in range(12):
        write_image(tmp_path / "images" / f"class {i % 2}" / f"{i}.png", str(i))
    return tmp_path / "images"


@pytest.fixture
def index(tmp_path):
    with Index.create(tmp_path / "index", 12, "pixels") as index:
        yield index


def listing(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))


def run(index, root, embedder):
    return update_index(index, root, listing(root), embedder, quiet=True)


def test_a_second_run_opens_nothing(index, images, embedder, monkeypatch):
    assert run(index, images, embedder).embedded == 12
    monkeypatch.setattr("deep_ranking.search.update.file_hash", None)
    report = run(index, images, embedder)
    assert (report.unchanged, report.embedded) == (12, 0)


def test_each_kind_of_change_is_counted_as_what_it_is(index, images, embedder):
    run(index, images, embedder)
    embedder.seen.clear()
    (images / "class 0/0.png").rename(images / "class 1/renamed.png")
    (images / "class 0/2.png").unlink()
    (images / "class 0/copy.png").write_bytes((images / "class 0/4.png").read_bytes())
    os.utime(images / "class 0/6.png", (1, 1))
    write_image(images / "class 0/8.png", "changed")
    write_image(images / "new.png", "new")
    report = run(index, images, embedder)
    assert (report.renamed, report.removed, report.reused, report.embedded) == (1, 1, 2, 2)
    assert report.unchanged == 12 - 4
    assert len(embedder.seen) == 2


def test_broken_images_are_skipped_counted_and_named(index, images, embedder):
    (images / "class 0/0.png").write_bytes((images / "class 0/0.png").read_bytes()[:50])
    (images / "class 0/text.png").write_text("no image")
    (images / "class 1/1.png").unlink()
    paths = [*listing(images), "class 1/1.png"]
    report = update_index(index, images, paths, embedder, quiet=True)
    assert sorted(report.skipped) == ["class 0/0.png", "class 0/text.png", "class 1/1.png"]
    assert report.skipped["class 1/1.png"] == "No such file or directory"
    assert "cannot be read as an image" in report.skipped["class 0/0.png"]
    assert str(images) not in report.skipped["class 0/0.png"]
    assert len(index) == report.embedded == 10


def test_an_image_that_breaks_loses_its_old_vector(index, images, embedder):
    run(index, images, embedder)
    (images / "class 0/0.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert list(run(index, images, embedder).skipped) == ["class 0/0.png"]
    assert index.snapshot.row("class 0/0.png") is None
    assert len(index) == 11


def test_a_model_that_gives_nan_for_an_image_skips_it(index, images, embedder):
    embed = embedder.embed

    def with_nan(paths, *, quiet=True):
        vectors, failures = embed(paths)
        vectors[3, 5] = np.nan
        return vectors, failures

    embedder.embed = with_nan
    report = run(index, images, embedder)
    assert list(report.skipped.values()) == ["the model gives NaN or infinity for it"]
    assert len(index) == 11


def test_another_models_index_is_refused(index, images, embedder):
    embedder.fingerprint = "other"
    with pytest.raises(DeepRankingError, match=r"made with the model pixels .* found the model other"):
        run(index, images, embedder)


def test_a_folder_without_images_or_with_none_of_the_index_changes_nothing(index, images, embedder, tmp_path):
    run(index, images, embedder)
    with pytest.raises(DeepRankingError, match="expected images, found none; nothing was changed"):
        update_index(index, images, [], embedder)
    write_image(tmp_path / "others/a.png", "a")
    with pytest.raises(DeepRankingError, match="none of which is in"):
        run(index, tmp_path / "others", embedder)
    assert len(index) == 12


def test_a_folder_that_moved_is_followed_without_embedding(index, images, embedder, tmp_path):
    run(index, images, embedder)
    images.rename(tmp_path / "moved")
    report = run(index, tmp_path / "moved", embedder)
    assert (report.unchanged, report.embedded) == (12, 0)
    assert index.metadata["images"] == str((tmp_path / "moved").resolve())


def test_a_query_file_is_known_by_its_content_and_embedded_only_if_it_is_not(
    index, images, embedder, tmp_path
):
    run(index, images, embedder)
    index.embedder = lambda: pytest.fail("no embedder is needed")
    copy = tmp_path / "copy.png"
    copy.write_bytes((images / "class 0/4.png").read_bytes())
    hits = index.search(copy, 3)
    assert (hits[0].path, hits[0].distance) == ("class 0/4.png", 0)
    assert index.search("class 0/4.png", 3) == hits
    assert index.search(copy, 3, Options(leave_self_out=True))[:2] == hits[1:]
    write_image(tmp_path / "other.png", "other")
    index.embedder = lambda: embedder
    assert index.search(tmp_path / "other.png", 1)[0].distance > 0
    embedder.fingerprint = "another"
    folder = index.store.path.parent
    with (
        Index.open(folder, lambda: embedder) as again,
        pytest.raises(DeepRankingError, match="model another"),
    ):
        again.search(tmp_path / "other.png")
    with Index.open(folder) as again, pytest.raises(DeepRankingError, match="opened without an embedder"):
        again.search(tmp_path / "other.png")


def test_files_of_equal_size_and_time_that_trade_names_are_told_apart_by_content(images, index):
    frames = [images / "frames" / f"{i}.bmp" for i in range(3)]
    for i, path in enumerate(frames):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (80 * i, 9, 9)).save(path)
        os.utime(path, ns=(0, 10**18))
    embedder, paths = PixelEmbedder(), sorted(f"frames/{path.name}" for path in frames)

    def updated():
        embedder.seen.clear()
        report = update_index(index, images, paths, embedder, quiet=True)
        for image, vector in zip(index.snapshot.images, index.snapshot.matrix, strict=True):
            assert np.array_equal(vector, read_image(images / image.path, (2, 2)).ravel() / np.float32(255))
        return report

    updated()
    one, other, third = frames
    one.rename(images / "x")
    other.rename(one)
    (images / "x").rename(other)
    report = updated()
    assert (report.reused, report.unchanged, embedder.seen) == (2, 1, [])
    third.write_bytes(third.read_bytes()[:-1] + b"\7")  # and one is another picture
    os.utime(third, ns=(0, 10**18))
    assert (updated().embedded, len(embedder.seen)) == (1, 1)
    index.write(metadata={"seen": "0"})  # as if all were touched: each is read, and none embedded
    assert updated().unchanged == 3
