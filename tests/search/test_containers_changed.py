"""Containers that were cut, damaged, packed anew or read out of order after they were indexed."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from samples import PixelEmbedder, write_image
from test_containers import parquet, png, pyarrow, write_table, write_tar

from deep_ranking.cli import main
from deep_ranking.containers import ContainerError, contained, listing, stream, table
from deep_ranking.images.decode import read_image
from deep_ranking.images.find import look_into
from deep_ranking.search import Index

NAMES = ["cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png"]


def black(number):
    """An image that ends in zeros, more of them than a tar file's end has, as BMP files do."""
    return png(number) + bytes(3000)


def indexed(folder, tmp_path, **how):
    with Index.from_folder(folder, PixelEmbedder(), tmp_path / "index", quiet=True, **how) as index:
        return {image.path: image.label for image in index.snapshot.images}, index.report


@pytest.fixture
def folder(tmp_path):
    write_tar(tmp_path / "photos/a.tar", [(name, black(n)) for n, name in enumerate(NAMES)])
    write_image(tmp_path / "photos/z.png", "z")
    return tmp_path / "photos"


def test_a_tar_file_cut_anywhere_loses_no_image_of_the_index(folder, tmp_path):
    held, _ = indexed(folder, tmp_path)
    whole = (folder / "a.tar").read_bytes()
    end = len(whole) - len(whole.rstrip(b"\0")) - 3000  # of the zeros behind the last image
    for size in {*range(0, len(whole) - end, 512), *range(100, len(whole) - end, 1500)}:
        (folder / "a.tar").write_bytes(whole[:size])
        now, report = indexed(folder, tmp_path)
        assert (now, report.removed, len(report.missing)) == (held, 0, 4), size
        assert re.match("cut short|damaged|empty file", report.skipped["a.tar"]), size
    (folder / "a.tar").write_bytes(whole)
    assert indexed(folder, tmp_path)[0] == held


def test_a_damaged_header_and_a_second_archive_are_no_end(folder, tmp_path):
    held, _ = indexed(folder, tmp_path)
    whole = (folder / "a.tar").read_bytes()
    place = whole.index(b"dog/2.png")
    for content in (whole[:place] + b"\xff" + whole[place + 1 :], whole + whole):
        (folder / "a.tar").write_bytes(content)
        now, report = indexed(folder, tmp_path)
        assert (now, report.removed) == (held, 0)
        assert "more after the end of the archive, at byte" in report.skipped["a.tar"]
        with (folder / "a.tar").open("rb") as file, pytest.raises(ContainerError, match="more after the end"):
            list(stream(file, "a.tar"))


def test_images_that_a_whole_container_has_no_more_are_gone(folder, tmp_path):
    indexed(folder, tmp_path)
    write_tar(folder / "a.tar", [(NAMES[3], black(3))])
    held, report = indexed(folder, tmp_path)
    assert (set(held), report.removed, report.missing) == ({"a.tar/dog/3.png", "z.png"}, 3, [])


def test_labels_of_containers_follow_the_rule_though_no_image_changed(tmp_path):
    members = [
        ("data/cat/1.png", png(1)),
        ("data/dog/2.png", png(2)),
        ("x/3.png", png(3)),
        ("x/3.cls", b"cow"),
    ]
    write_tar(tmp_path / "photos/a.tar", members[:2])
    write_tar(tmp_path / "photos/b.tar", members[2:])
    own, all_of_them = ["", "", "cow"], ["cat", "dog", "cow"]
    for rule, labels in (("none", own), ("folders", all_of_them), ("none", own)):
        assert list(indexed(tmp_path / "photos", tmp_path, labels=rule)[0].values()) == labels


@pytest.mark.parametrize("shuffled", [False, True])
def test_images_of_a_table_that_fit_are_decoded_once_in_any_order(tmp_path, monkeypatch, shuffled):
    for name in "abc":
        write_table(tmp_path / f"{name}.parquet", range(100), [0] * 100)
    paths = [tmp_path / f"{name}.parquet/{row}" for name in "abc" for row in range(100)] * 2
    if shuffled:
        np.random.default_rng(0).shuffle(paths)
    read, once = [], table._Kept.put
    monkeypatch.setattr(table, "_kept", table._Kept(1 << 20))
    monkeypatch.setattr(
        table._Kept, "put", lambda kept, key, image: (read.append(key), once(kept, key, image))
    )
    assert all(contained(path) == png(int(path.name)) for path in paths)
    assert len(set(read)) == 300
    assert len(read) <= (600 if shuffled else 300)  # those before the first that was asked for, again


def test_what_is_kept_of_tables_stays_within_its_bytes():
    kept = table._Kept(100)
    for place in range(50):
        kept.put(("t", 0, place), bytes(30))
        assert kept.get(("t", 0, 0)) == bytes(30)  # looked at, so it stays
    assert [kept.get(("t", 0, place)) is not None for place in (0, 46, 47, 48, 49)] == [
        True,
        *[False] * 2,
        True,
        True,
    ]
    kept.put(("t", 0, 7), bytes(1000))
    assert kept.get(("t", 0, 7)) == bytes(1000)


def test_damaged_pages_are_told_of_each_image_and_the_others_are_read(tmp_path):
    path = tmp_path / "photos/a.parquet"
    path.parent.mkdir()
    rows = pyarrow.table({"image": [png(number) for number in range(40)]})  # no column but that
    parquet.write_table(rows, path, row_group_size=20, compression="none", use_dictionary=False)
    assert list(listing(path).members) == [str(number) for number in range(40)]
    place = parquet.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[place + 2 : place + 8] = b"\xff" * 6
    path.write_bytes(content)
    held, report = indexed(tmp_path / "photos", tmp_path)
    assert set(held) == {f"a.parquet/{number}" for number in range(20, 40)}
    assert report.skipped == {f"a.parquet/{number}": "damaged in row group 0" for number in range(20)}
    output = tmp_path / "out"
    assert main(["prepare", "hf-parquet", "--source", str(path), "--output", str(output), "--quiet"]) == 0
    assert len(look_into(output).images) == 20


def test_similarity_takes_images_in_containers(folder, monkeypatch, capsys):
    embed = SimpleNamespace(embed_image=lambda path: read_image(path, (1, 1)).ravel() / np.float32(255))
    monkeypatch.setattr("deep_ranking.cli.checks.network", lambda *_: None)
    monkeypatch.setattr("deep_ranking.cli.shared.encoder", lambda *_: embed)
    monkeypatch.chdir(folder.parent)
    one, other = f"photos/a.tar/{NAMES[0]}", str(folder / "a.tar" / NAMES[3])
    assert main(["similarity", "--model", "m.h5", "--image1", one, "--image2", other]) == 0
    assert float(capsys.readouterr().out.splitlines()[-1]) == pytest.approx(3 / 255, abs=1e-6)
    assert main(["similarity", "--model", "m.h5", one, f"{folder}/a.tar/none.png"]) == 1
    assert "a.tar/none.png: no such image" in capsys.readouterr().err
