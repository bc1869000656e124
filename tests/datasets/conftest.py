"""Small archives in the layouts that the real ones have."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image


def jpeg(shade: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), (shade % 256, 0, 0)).save(data, "JPEG")
    return data.getvalue()


@pytest.fixture
def pack(tmp_path) -> Callable[[Mapping[str, bytes | str]], Path]:
    def write(members: Mapping[str, bytes | str], name: str = "archive.zip") -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return tmp_path / name

    return write


@pytest.fixture
def tiny_members() -> dict[str, bytes | str]:
    """Tiny ImageNet's layout: 3 classes, 2 images each to train with, 4 to validate, 1 test image."""
    wnids = ["n02", "n01", "n03"]
    root = "tiny-imagenet-200/"
    members: dict[str, bytes | str] = {
        root + "wnids.txt": "".join(f"{wnid}\n" for wnid in wnids),
        root + "words.txt": "n00\tentity\nn01\tcat, house cat\nn02\tdog\n",
        root + "train/": "",
        root + "test/images/test_0.JPEG": jpeg(9),
    }
    for number, wnid in enumerate(wnids):
        members[f"{root}train/{wnid}/{wnid}_boxes.txt"] = f"{wnid}_0.JPEG\t0\t0\t9\t9\n"
        for k in range(2):
            members[f"{root}train/{wnid}/images/{wnid}_{k}.JPEG"] = jpeg(10 * number + k)
    lines = []
    for k, wnid in enumerate(["n01", "n02", "n01", "n03"]):
        members[f"{root}val/images/val_{k}.JPEG"] = jpeg(100 + k)
        lines.append(f"val_{k}.JPEG\t{wnid}\t0\t0\t62\t62\n")
    members[root + "val/val_annotations.txt"] = "".join(lines)
    return members


@pytest.fixture
def human_members() -> dict[str, bytes | str]:
    """The rated triplets' layout: 2 queries."""
    members: dict[str, bytes | str] = {
        f"images/{query}/{name}.jpg": jpeg(ord(name)) for query in ("pop-up+cards", "29") for name in "abc"
    }
    members["triplets.txt"] = (
        "images/29/a.jpg,images/29/b.jpg,images/29/c.jpg\n"
        "images/pop-up+cards/c.jpg,images/pop-up+cards/b.jpg,images/pop-up+cards/a.jpg\n"
    )
    return members
