"""The layouts in which some data sets of fine-grained retrieval are published, unpacked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deep_ranking.datasets.rows import Options, Row, below, file_row, text_lines
from deep_ranking.errors import DeepRankingError, reason


def read_sop(source: Path, options: Options) -> Iterator[Row]:
    """Yield Stanford Online Products: the class is the product, and not its folder, the kind of product."""
    for split in ("train", "test"):
        for place, (_, product, kind, path) in _columns(source / f"Ebay_{split}.txt", 4, heading=1):
            yield file_row(f"{place}: {path}", below(source, path), label=product, split=split, group=kind)


def read_cub(source: Path, options: Options) -> Iterator[Row]:
    """Yield CUB-200-2011: four tables of `id value`; 1 in `train_test_split.txt` is train."""
    tables = {
        name: _by_number(source / f"{name}.txt")
        for name in ("classes", "image_class_labels", "train_test_split")
    }
    for place, (number, path) in _columns(source / "images.txt", 2):
        try:
            label = tables["classes"][tables["image_class_labels"][number]]
            split = "train" if tables["train_test_split"][number] == "1" else "test"
        except KeyError:
            raise DeepRankingError(
                f"{place}: expected the image {number} in each table, found it missing"
            ) from None
        yield file_row(f"{place}: {path}", below(source, path, "images"), label=label, split=split)


def read_in_shop(source: Path, options: Options) -> Iterator[Row]:
    """Yield In-Shop Clothes Retrieval: a count line, a heading, padded columns; train, query and gallery."""
    name = "list_eval_partition.txt"
    table = below(source, name, "Eval", "eval", "Anno") or source / name
    for place, (path, item, split) in _columns(table, 3, heading=2):
        file = below(source, path, "Img", "..", "../Img")
        yield file_row(f"{place}: {path}", file, label=item, split=split)


def read_cars(source: Path, options: Options) -> Iterator[Row]:
    """Yield Cars196 from its .mat files, old (`cars_annos.mat`) or new (`devkit/`); classes count from 1.

    The new ones' test images are unlabelled, unless `cars_test_annos_withlabels.mat` is there.
    """
    if whole := below(source, "cars_annos.mat"):
        about = _matlab(whole, "relative_im_path", "class", "test")
        names = about.get("class_names", [])
        for record in about["annotations"]:
            path, split = str(record["relative_im_path"]), "test" if record["test"] else "train"
            label = _class_of(record, names, whole)
            yield file_row(f"{whole.name}: {path}", below(source, path), label=label, split=split)
        return
    meta = below(source, "cars_meta.mat", "devkit")
    if meta is None:
        raise DeepRankingError(f"{source}: expected cars_annos.mat or devkit/cars_meta.mat, found neither")
    names = _matlab(meta)["class_names"]
    for split in ("train", "test"):
        found = [f"cars_{split}_annos_withlabels.mat", f"cars_{split}_annos.mat"]
        table = next(filter(None, (below(source, name, "devkit") for name in found)), None)
        for record in [] if table is None else _matlab(table, "fname")["annotations"]:
            label = _class_of(record, names, table) if "class" in record else ""
            name = str(record["fname"])
            file = below(source / f"cars_{split}", name, f"cars_{split}")
            yield file_row(f"{split}: {name}", file, label=label, split=split)


def _by_number(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, (number, value) in _columns(path, 2):
        if found.setdefault(number, value) != value:
            raise DeepRankingError(f"{place}: expected {number} once, found it as {found[number]!r} already")
    return found


def _class_of(record: dict[str, Any], names: Any, path: Path | None) -> str:
    number = int(record["class"])
    if not 1 <= number <= len(names):
        raise DeepRankingError(f"{path}: expected a class from 1 to {len(names)}, found {number}")
    return str(names[number - 1])


def _columns(path: Path, count: int, heading: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Yield place and values of each line of a table with blanks between columns; the last may hold some."""
    if not path.is_file():
        raise DeepRankingError(f"{path}: expected this table of the data set, found none; check --source")
    for number, line in text_lines(path)[heading:]:
        values = line.split(maxsplit=count - 1)
        if len(values) != count:
            told = f"expected {count} columns, found {line[:60]!r}"
            raise DeepRankingError(f"{path.name}, line {number}: {told}")
        yield f"{path.name}, line {number}", [value.strip() for value in values]


def _matlab(path: Path, *fields: str) -> dict[str, Any]:
    """Return the variables of a .mat file: its class names, or its annotations if they have these fields."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, simplify_cells=True)
        for name in ("annotations", "class_names"):
            if isinstance(found.get(name), dict | str):  # one alone
                found[name] = [found[name]]
        for record in found["annotations"] if fields else ():
            for field in fields:
                record[field]
        return found if fields else {"class_names": found["class_names"]}
    except Exception as error:  # SciPy raises nearly anything of what is no such file
        raise DeepRankingError(f"{path}: expected a .mat file of Cars196 ({reason(error)})") from error
