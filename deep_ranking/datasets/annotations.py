"""Images and what is said of them in one JSON file: COCO's and FiftyOne's."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from deep_ranking.containers.member import ContainerError, as_label
from deep_ranking.datasets.rows import MISSING, Options, Row, below, file_row, files_of, read_json
from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.images.find import split_of
from deep_ranking.images.forms import FORMATS

UNKNOWN = "annotation of a category that is not listed"
SEVERAL = "several classes in one image; --boxes makes an image of each box"


def read_coco(source: Path, options: Options) -> Iterator[Row]:
    """Yield the images of COCO's annotations: whole, with the one class that is in each; or each box.

    Ids are looked up, since they have gaps. A crowd is no box. Boxes are cut out of the image as it is
    stored, or as its EXIF turns it, whichever is as large as the file says; the group is the image, so that
    boxes of one stay together. Annotations of an image that is not listed are named as left out.

    Raises:
        DeepRankingError: the file is laid out otherwise; two images or two categories have one id.
    """
    for path in files_of(source, r"(?i)\.json$", "a JSON file of annotations"):
        yield from _coco_of(path, options)


def _coco_of(path: Path, options: Options) -> Iterator[Row]:
    about, root, split = read_json(path), Path(options.root or path.parent), split_of(path.name)
    year = next((part for part in path.stem.split("_") if split and split_of(part)), "")
    try:
        categories = _by_id(about.get("categories", []), "name", path)
        boxes: dict[Any, list[dict[str, Any]]] = {i: [] for i in _by_id(about["images"], "file_name", path)}
        for number, annotation in enumerate(about.get("annotations", [])):
            if annotation["image_id"] in boxes:
                boxes[annotation["image_id"]].append(annotation)
            else:
                told = f"annotation {annotation.get('id', number)} of image {annotation['image_id']!r}"
                yield Row(f"{path.name}: {told}", why="annotation of an image that is not listed")
        for image in about["images"]:
            name, held = str(image["file_name"]), boxes[image["id"]]
            place, file = f"{path.name}: {name}", below(root, name, "images", year, f"../{year}", "../images")
            if file is None or not options.boxes:
                classes = sorted({categories.get(box["category_id"], "") for box in held})
                label = classes[0] if len(classes) == 1 else ""
                why = UNKNOWN if "" in classes else SEVERAL if len(classes) > 1 else ""
                why = MISSING if file is None else why
                yield Row(place, file, name.rpartition("/")[2], label, split, why=why)
            elif not held:
                yield Row(place, why="image without boxes")
            else:
                yield from _cut_out(file, place, image, held, categories, split)
    except DeepRankingError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DeepRankingError(
            f"{path}: expected COCO's images, annotations and categories, found one without, or with an "
            f"unknown {reason(error)}"
        ) from error


def _by_id(things: list[dict[str, Any]], name: str, path: Path) -> dict[Any, str]:
    """Return the names of images or categories by their ids."""
    found: dict[Any, str] = {}
    for thing in things:
        known, own = thing["id"], as_label(thing[name])
        if known in found and (name != "name" or found[known] != own):
            told = f"{path}: expected one id for each, found {known!r} as {found[known]!r} and {own!r}"
            raise DeepRankingError(told)
        found[known] = own
    return found


def _cut_out(
    file: Path,
    place: str,
    about: dict[str, Any],
    boxes: list[dict[str, Any]],
    names: dict[Any, str],
    split: str,
) -> Iterator[Row]:
    try:
        with Image.open(file, formats=FORMATS) as opened:
            stored, size = (
                opened.copy(),
                (about.get("width", opened.width), about.get("height", opened.height)),
            )
        image = stored if stored.size == size else ImageOps.exif_transpose(stored)
        if image.size != size:
            yield Row(place, why="of another size than its annotations say, so that boxes do not fit")
            return
        if image.mode not in ("L", "LA", "RGB", "RGBA"):
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            image.info.pop("icc_profile", None)  # of the other mode
    except Exception as error:  # whatever a decoder raises of a damaged file
        yield Row(place, why=f"cannot be decoded ({type(error).__name__})")
        return
    for number, box in enumerate(boxes):
        spot = f"{place}, box {box.get('id', number)}"
        if box.get("iscrowd"):
            yield Row(spot, why="a crowd, not one thing")
            continue
        if (label := names.get(box["category_id"], "")) == "":
            yield Row(spot, why=UNKNOWN)
            continue
        x, y, width, height = (float(value) for value in box["bbox"])
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = min(image.width, round(x + width)), min(image.height, round(y + height))
        if right <= left or bottom <= top:
            yield Row(spot, why="empty box, or outside of its image")
            continue
        encoded = io.BytesIO()
        image.crop((left, top, right, bottom)).save(encoded, "PNG")
        name = f"{file.stem}_{box.get('id', number)}.png"
        yield Row(spot, encoded.getvalue(), name, label, split, group=place)


def read_fiftyone(source: Path, options: Options) -> Iterator[Row]:
    """Yield the images of FiftyOne's classification export: `labels.json` by the stems of files in `data/`.

    Null is unlabelled. Of several labels of one image there is no one to take. Labels exported without their
    images name whole paths.

    Raises:
        DeepRankingError: the folder is laid out otherwise; a label is none.
    """
    path = source if source.is_file() else source / "labels.json"
    if not path.exists() and path.with_name("samples.json").exists():
        told = "export it with dataset_type=fiftyone.types.FiftyOneImageClassificationDataset"
        raise DeepRankingError(f"{path}: not there, but samples.json, of a FiftyOneDataset; {told}")
    about, root = read_json(path), Path(options.root or path.parent / "data")
    labels = about.get("labels")
    if not isinstance(labels, dict) or not (root.is_dir() or all(map(os.path.isabs, labels))):
        raise DeepRankingError(
            f"{path}: expected 'labels' in it and a folder {root} beside it, found no such"
        )
    classes, files = about.get("classes"), dict[str, list[Path]]()
    for file in sorted(root.rglob("*")):
        if file.is_file() and file.name[0] != ".":
            files.setdefault(os.path.splitext(file.relative_to(root).as_posix())[0], []).append(file)  # noqa: PTH122 - the key is a text
    for stem, value in labels.items():
        value = value.get("label") if isinstance(value, dict) else value  # with confidences
        held: list[Path | None] = [*files.pop(stem, [])] or [below(root, stem)]
        if isinstance(value, list) and len(value) > 1:
            yield from (Row(f"{path.name}: {stem}", why="several labels") for _ in held)
            continue
        value = (value or [None])[0] if isinstance(value, list) else value
        try:
            label = as_label(value)
            if label and isinstance(classes, list) and isinstance(value, int):
                label = as_label(classes[value])
        except (ContainerError, IndexError) as error:
            told = f"expected a class, or the number of one of {len(classes or ())}, found {value!r:.40}"
            raise DeepRankingError(f"{path}: {stem!r}: {told}") from error
        for one in held:
            yield file_row(f"{path.name}: {stem}", one, label=label)
    for rest in files.values():
        yield from (file_row(f"data/{file.relative_to(root)}", file) for file in rest)
