"""What is killed: a task, what must hold whenever it is, and what it leaves when it may end."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from deep_ranking.cli import main


def command(*args: object) -> None:
    """Run a command line in this process."""
    assert main([*map(str, args), "--quiet"]) == 0


class Task:
    """A task in a folder of its own; `attempt` is the number of the run, 0 the one that counts the lines."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.output = folder / "output"

    modules: tuple[str, ...] = ()  # imported once, so that the children are killed in their work

    def prepare(self) -> None:
        """Make what the task reads."""

    def clear(self) -> None:
        """Remove what it has written."""
        shutil.rmtree(self.output, ignore_errors=True)

    def work(self, attempt: int) -> None:
        """Do it; what is acknowledged goes to file 3, a line each."""

    def check(self, acknowledged: set[str]) -> None:
        """Assert what must hold after a kill."""

    def finished(self, attempt: int) -> None:
        """Assert what must hold after the end."""
        self.check(set())
        left = [path for path in self.folder.rglob(".*") if ".tmp" in path.name]
        assert not left, f"left behind: {left}"


class Sample(Task):
    """Two triplet files, new ones each run."""

    modules = ("deep_ranking.cli.sample", "deep_ranking.triplets.uniform", "deep_ranking.images.find")

    def prepare(self) -> None:
        for number in range(12):
            path = self.folder / f"images/{number % 3}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (number, 0, 0)).save(path)

    def work(self, attempt: int) -> None:
        flags = ["--num_pos_images", 2, "--num_neg_images", 2, "--validation_split", 0.5, "--seed", attempt]
        images = ["--input_directory", self.folder / "images"]
        command("sample", *images, "--output_directory", self.output, *flags, *self.ending())

    def ending(self) -> list[str]:
        return []

    def check(self, acknowledged: set[str]) -> None:
        from deep_ranking.triplets import read_triplets

        for path in self.output.glob("[a-z]*.txt*"):
            triplets = list(read_triplets(path))
            queries = {triplet.query for triplet in triplets}
            assert (len(triplets), len(queries)) == (12, 6), path

    def finished(self, attempt: int) -> None:
        super().finished(attempt)
        assert len(list(self.output.glob("[a-z]*.txt*"))) == 2


class SampleCompressed(Sample):
    """The same, compressed."""

    def ending(self) -> list[str]:
        return ["--gzip"]


class Demo(Task):
    """A data set, whole or not there."""

    modules = ("deep_ranking.cli.prepare", "deep_ranking.datasets.demo")

    def clear(self) -> None:
        shutil.rmtree(self.output, ignore_errors=True)

    def work(self, attempt: int) -> None:
        shutil.rmtree(self.output, ignore_errors=True)
        command("prepare", "demo", "--output", self.output, "--images_per_class", 2, "--size", 32)

    def check(self, acknowledged: set[str]) -> None:
        if (self.output / "relevance.csv").exists():
            images = sorted(self.output.glob("*/*.png"))
            assert len(images) <= 16  # fewer where the next run was killed while it removed the set
            for path in images:
                with Image.open(path) as image:
                    image.load()

    def finished(self, attempt: int) -> None:
        super().finished(attempt)
        assert len(list(self.output.glob("*/*.png"))) == 16


class Rate(Task):
    """Ratings, each acknowledged once it is kept."""

    modules = ("deep_ranking.ratings.store",)

    def work(self, attempt: int) -> None:
        from deep_ranking.ratings.store import RatingStore

        self.output.mkdir(exist_ok=True)
        with RatingStore(self.output / "ratings.sqlite") as store:
            for number in range(12):
                name = f"{attempt}-{number}"
                store.add("Ann", f"{name}.png", "a.png", "b.png", "a")
                os.write(3, f"{name}\n".encode())

    def check(self, acknowledged: set[str]) -> None:
        from deep_ranking.ratings.store import RatingStore

        if not (self.output / "ratings.sqlite").exists():
            assert not acknowledged
            return
        with RatingStore(self.output / "ratings.sqlite") as store:
            held = [rating.query.removesuffix(".png") for rating in store.ratings()]
        assert len(held) == len(set(held))
        assert acknowledged <= set(held)


class Pixels:
    """Makes vectors of pixels where an index asks a network."""

    dimension, fingerprint = 12, "pixels"

    def embed(self, paths, *, quiet=True):
        from deep_ranking.images.decode import read_image

        return np.stack([read_image(path, (2, 2)).ravel() / np.float32(255) for path in paths]), []


class Reindex(Task):
    """An index brought up to date, its images changing from run to run, with all its caches."""

    modules = ("deep_ranking.search", "deep_ranking.search.stores.local", "deep_ranking.images.decode")

    def work(self, attempt: int) -> None:
        from deep_ranking.images.find import find_images
        from deep_ranking.search import Index, update_index

        images = self.folder / "images"
        images.mkdir(exist_ok=True)
        for number in range(8):
            path = images / f"{number}.png"
            Image.new("RGB", (2, 2), (number, attempt % 256, 0)).save(path)
            os.utime(path, ns=(attempt, attempt))
        index = (
            Index.open(self.output) if Index.exists(self.output) else Index.create(self.output, 12, "pixels")
        )
        with index:
            update_index(index, images, find_images(images), Pixels(), chunk=3, quiet=True)
            os.write(3, f"{attempt}\n".encode())
            index.search(np.zeros(12, np.float32), 3)
            update_index(index, images, find_images(images), Pixels(), quiet=True)  # with nothing new

    def check(self, acknowledged: set[str]) -> None:
        from deep_ranking.search import Index

        if not Index.exists(self.output):
            assert not acknowledged
            return
        with Index.open(self.output) as index:
            images = index.snapshot.images
            assert len({image.path for image in images}) == len(images)
            assert len(images) == 8 or not acknowledged
            for image, vector in zip(images, index.snapshot.matrix, strict=True):
                run = round(float(vector[1]) * 255)
                assert round(float(vector[0]) * 255) == int(image.path.removesuffix(".png"))
                assert image.mtime == run  # the vector is of the bytes that the row tells of
                assert run >= max(map(int, acknowledged), default=0)


class Export(Task):
    """A model of two parts, as OpenVINO's; new weights never stand beside an old description."""

    modules = ("deep_ranking.embedding.export",)

    def work(self, attempt: int) -> None:
        from deep_ranking.embedding import export

        class Network:
            def export(self, path, format, verbose):
                for part in (Path(path), Path(path).with_suffix(".bin")):
                    with part.open("wb") as file:
                        for _ in range(4):
                            file.write(b"%d " % attempt * 1000)

        class Model:
            size, network = (2, 2), Network()

            def embed_pixels(self, images):
                return np.ones((len(images), 2), np.float32)

        run = lambda path, images: np.ones((len(images), 2), np.float32)  # noqa: E731
        export.FORMATS["openvino"] = (".xml", "openvino", run)
        self.output.mkdir(exist_ok=True)
        export.export(Model(), self.output / "model.xml", "openvino")

    def check(self, acknowledged: set[str]) -> None:
        if (self.output / "model.xml").exists():
            parts = [(self.output / f"model{ending}").read_bytes() for ending in (".xml", ".bin")]
            assert parts[0] == parts[1]
            assert len(parts[0].split()) == 4000

    def finished(self, attempt: int) -> None:
        super().finished(attempt)
        assert (self.output / "model.xml").read_bytes().split()[0] == b"%d" % attempt


class Report(Task):
    """A report's folder, whole or not there."""

    modules = ("deep_ranking.reporting.page", "deep_ranking.datasets.folder")

    def work(self, attempt: int) -> None:
        from deep_ranking.reporting import page

        class Findings:
            queries = ()

            def as_dict(self):
                return {"run": attempt}

        page.find = lambda *args, **flags: Findings()
        page.charts = lambda findings: {f"chart {number}": [number] for number in range(5)}
        page.save = lambda drawing, kind: b"\x89PNG" * 10_000
        page.page = lambda findings, drawn: "<p>whole</p>"
        shutil.rmtree(self.output, ignore_errors=True)
        page.write_report(self.output, "model.h5", None)

    def check(self, acknowledged: set[str]) -> None:
        if (self.output / "index.html").exists():
            assert (self.output / "index.html").read_text() == "<p>whole</p>"
            assert all(path.stat().st_size == 40_000 for path in self.output.glob("*.png"))

    def finished(self, attempt: int) -> None:
        super().finished(attempt)
        assert len(list(self.output.iterdir())) == 7


class Train(Task):
    """A small network; killed and resumed, it ends with the weights of a run left alone."""

    modules = ("deep_ranking.cli.train", "deep_ranking.training.run")

    def prepare(self) -> None:
        chance = np.random.default_rng(0)
        for number in range(6):
            path = self.folder / f"images/{number % 2}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(chance.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        command(
            "sample", "--input_directory", self.folder / "images", "--output_directory", self.folder,
            "--num_pos_images", 1, "--num_neg_images", 1,
        )  # fmt: skip

    def clear(self) -> None:
        shutil.copy(self.output / "m.h5", self.folder / "alone.h5")
        super().clear()

    def work(self, attempt: int) -> None:
        begun = (self.output / "m.checkpoint").exists()
        command(
            "train", "--dataset", self.folder / "images", "--triplets", self.folder / "triplets.txt",
            "--validation_triplets", self.folder / "triplets.txt", "--model", self.output / "m.h5",
            "--backbone", "mobilenetv2", "--weights", "none", "--image_size", 32, "--embedding_size", 4,
            "--low_resolution", "none", "--batch_size", 6, "--epochs", 2, "--checkpoint_steps", 1,
            "--image_cache_size", 0, *["--resume"] * begun,
        )  # fmt: skip

    def check(self, acknowledged: set[str]) -> None:
        import h5py

        for name in ("m.h5", "m.checkpoint"):
            if (self.output / name).exists():
                with h5py.File(self.output / name) as file:
                    file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)
        if (self.output / "m.csv").exists():
            with (self.output / "m.csv").open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert [row["epoch"] for row in rows] == [str(number) for number in range(len(rows))]
            assert all(None not in row.values() for row in rows)

    def finished(self, attempt: int) -> None:
        super().finished(attempt)
        assert not (self.output / "m.checkpoint").exists()
        if attempt:
            from deep_ranking.network.file import load_network

            found, alone = (
                load_network(path)[0].get_weights()
                for path in (self.output / "m.h5", self.folder / "alone.h5")
            )
            assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True))


TASKS = {
    "demo": Demo,
    "export": Export,
    "rate": Rate,
    "reindex": Reindex,
    "report": Report,
    "sample": Sample,
    "sample compressed": SampleCompressed,
    "train": Train,
}
