"""Images and what is said of them in one JSON file: COCO's and FiftyOne's."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from deep_ranking.datasets.rows import MISSING, Options, Row, below, file_row, files_of, read_json
from deep_ranking.errors import DeepRankingError, reason
from deep_ranking.images.find import split_of
from deep_ranking.images.forms import FORMATS

SEVERAL = "several classes in one image; --boxes makes an image of each box"


def read_coco(source: Path, options: Options) -> Iterator[Row]:
    """Yield the images of COCO's annotations: whole, with the one class that is in each; or each box.

    Ids are looked up, since they have gaps. A crowd is no box. Boxes are cut out of the image as it is
    stored, or as its EXIF turns it, whichever is as large as the file says; the group is the image, so that
    boxes of one stay together.

    Raises:
        DeepRankingError: the file is laid out otherwise.
    """
    for path in files_of(source, r"(?i)\.json$", "a JSON file of annotations"):
        yield from _coco_of(path, options)


def _coco_of(path: Path, options: Options) -> Iterator[Row]:
    about, root, split = read_json(path), Path(options.root or path.parent), split_of(path.name)
    year = next((part for part in path.stem.split("_") if split and split_of(part)), "")
    try:
        categories = {category["id"]: str(category["name"]) for category in about.get("categories", [])}
        boxes: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in about["images"]}
        for annotation in about.get("annotations", []):
            boxes[annotation["image_id"]].append(annotation)
        for image in about["images"]:
            name, held = str(image["file_name"]), boxes[image["id"]]
            place, file = f"{path.name}: {name}", below(root, name, "images", year, f"../{year}", "../images")
            if file is None or not options.boxes:
                classes = sorted({categories[box["category_id"]] for box in held})
                label = classes[0] if len(classes) == 1 else ""
                why = MISSING if file is None else SEVERAL if len(classes) > 1 else ""
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
        x, y, width, height = (float(value) for value in box["bbox"])
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = min(image.width, round(x + width)), min(image.height, round(y + height))
        if right <= left or bottom <= top:
            yield Row(spot, why="empty box, or outside of its image")
            continue
        encoded = io.BytesIO()
        image.crop((left, top, right, bottom)).save(encoded, "PNG")
        name = f"{file.stem}_{box.get('id', number)}.png"
        yield Row(spot, encoded.getvalue(), name, names[box["category_id"]], split, group=place)


def read_fiftyone(source: Path, options: Options) -> Iterator[Row]:
    """Yield the images of FiftyOne's classification export: `labels.json` by the stems of files in `data/`.

    Null is unlabelled. Of several labels of one image there is no one to take.

    Raises:
        DeepRankingError: the folder is laid out otherwise.
    """
    path = source if source.is_file() else source / "labels.json"
    about, root = read_json(path), Path(options.root or path.parent / "data")
    if not root.is_dir() or not isinstance(about.get("labels"), dict):
        raise DeepRankingError(
            f"{path}: expected 'labels' in it and a folder {root} beside it, found no such"
        )
    classes, files = about.get("classes"), dict[str, list[Path]]()
    for file in sorted(root.rglob("*")):
        if file.is_file() and file.name[0] != ".":
            files.setdefault(file.relative_to(root).as_posix().rpartition(".")[0], []).append(file)
    for stem, value in about["labels"].items():
        value = value.get("label") if isinstance(value, dict) else value  # with confidences
        label = "" if value is None else str(value)
        if isinstance(value, int) and isinstance(classes, list) and 0 <= value < len(classes):
            label = str(classes[value])
        if isinstance(value, list):
            yield Row(f"{path.name}: {stem}", why="several labels")
            continue
        held: list[Path | None] = [*files.pop(stem, [])]
        for one in held or [None]:
            yield file_row(f"{path.name}: {stem}", one, label=label)
    for rest in files.values():
        yield from (file_row(f"data/{file.relative_to(root)}", file) for file in rest)
