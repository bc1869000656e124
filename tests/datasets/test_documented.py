"""docs/data.md's table of formats: each line's command runs, on files laid out as the format asks."""

import io
import json
import re
import shlex
import tarfile
from pathlib import Path

import pytest
from test_data_formats import folder_of, png

from deep_ranking.cli import main
from deep_ranking.datasets.rows import FORMATS

DOCS = Path(__file__).parents[2] / "docs/data.md"
LINES = dict(
    re.findall(r"^\| `([a-z-]+)` \| `(deep-ranking prepare .+?)` \|", DOCS.read_text(), re.MULTILINE)
)


def make(name: str) -> None:
    """Lay two images, 1 and 2, of two classes out here as the documented command names them."""
    if name == "imagefolder":
        folder_of(Path("photos"), {"cat/1.png": 1, "dog/1.png": 2})
    elif name == "hf-parquet":
        import pyarrow.parquet

        Path("data").mkdir()
        images = [{"bytes": png(n), "path": "1.png"} for n in (1, 2)]
        pyarrow.parquet.write_table(
            pyarrow.table({"image": images, "label": ["cat", "dog"]}), "data/train-0.parquet"
        )
    elif name == "webdataset":
        Path("shards").mkdir()
        with tarfile.open("shards/train-000.tar", "w") as archive:
            for member, content in (
                ("1.png", png(1)),
                ("1.cls", b"cat"),
                ("2.png", png(2)),
                ("2.cls", b"dog"),
            ):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    elif name == "tfrecord":
        Path("records").mkdir()
        Path("records/labels.txt").write_text("0:cat\n1:dog\n")
        tensorflow = pytest.importorskip("tensorflow")
        train = tensorflow.train
        with tensorflow.io.TFRecordWriter("records/pets-train.tfrecord") as writer:
            for number in (1, 2):
                feature = {
                    "image": train.Feature(bytes_list=train.BytesList(value=[png(number)])),
                    "label": train.Feature(int64_list=train.Int64List(value=[number - 1])),
                }
                writer.write(train.Example(features=train.Features(feature=feature)).SerializeToString())
    elif name == "table":
        folder_of(Path("photos"), {"1.png": 1, "2.png": 2})
        Path("list.csv").write_text("file,kind,part\n1.png,cat,train\n2.png,dog,val\n")
    elif name == "coco":
        folder_of(Path("photos"), {"1.png": 1, "2.png": 2})
        about = {
            "images": [{"id": n, "file_name": f"{n}.png", "width": 8, "height": 8} for n in (1, 2)],
            "annotations": [{"image_id": n, "category_id": n, "bbox": [1, 1, 4, 4]} for n in (1, 2)],
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        }
        Path("annotations.json").write_text(json.dumps(about))
    elif name == "fiftyone":
        folder_of(Path("export/data"), {"1.png": 1, "2.png": 2})
        about = {"classes": ["cat", "dog"], "labels": {"1": 0, "2": 1}}
        Path("export/labels.json").write_text(json.dumps(about))
    else:
        make_published(name)


def make_published(name: str) -> None:
    root = {"sop": "Stanford_Online_Products", "cub": "CUB_200_2011", "in-shop": "in_shop"}.get(name, name)
    folder_of(Path(root), {"images/1.png": 1, "images/2.png": 2})
    texts = {
        "sop": {
            "Ebay_train.txt": "image_id class_id super_class_id path\n1 1 1 images/1.png\n",
            "Ebay_test.txt": "image_id class_id super_class_id path\n2 2 1 images/2.png\n",
        },
        "cub": {
            "images.txt": "1 1.png\n2 2.png\n",
            "image_class_labels.txt": "1 1\n2 2\n",
            "classes.txt": "1 cat\n2 dog\n",
            "train_test_split.txt": "1 1\n2 0\n",
        },
        "in-shop": {
            "list_eval_partition.txt": "2\nname item status\nimages/1.png a train\nimages/2.png b query\n"
        },
    }
    for file, text in texts.get(name, {}).items():
        (Path(root) / file).write_text(text)
    if name == "cars":
        import numpy as np
        from scipy.io import savemat

        kinds = [("relative_im_path", "O"), ("class", "O"), ("test", "O")]
        records = np.array([("images/1.png", 1, 0), ("images/2.png", 2, 1)], kinds)
        names = np.array(["cat", "dog"], object)
        savemat("cars/cars_annos.mat", {"annotations": records, "class_names": names})


def test_the_table_has_each_format():
    assert LINES.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", LINES)
def test_a_line_of_the_table_does_what_it_says(name, tmp_path, monkeypatch, capsys):
    if name == "hf-parquet":
        pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
    monkeypatch.chdir(tmp_path)
    make(name)
    program, *arguments = shlex.split(LINES[name])
    assert program == "deep-ranking"
    assert main([*arguments, "--quiet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["images"], told["classes"], told["dropped"]) == (2, 2, 2, 0)
    assert len(list(Path("new").glob("*/*/*.png"))) == 2
