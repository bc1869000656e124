"""The readers of files from anywhere, for those who give them broken ones: sound files, and what must hold.

Of any bytes a reader gives what it promises, or refuses with a `DeepRankingError`; all else is a crash.
"""

import contextlib
import importlib.util
import io
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from deep_ranking.errors import DeepRankingError

refused = contextlib.suppress(DeepRankingError)

MEMORY = Path("/dev/shm")
"""Where there is one: an index is on the disk before it says so, which takes longer than all the rest."""


class Reader:
    """Something that reads a file."""

    needs: tuple[str, ...] = ()  # optional packages

    def sound(self) -> Mapping[str, bytes]:
        """Return sound files by name; the names are what it is given them under."""
        raise NotImplementedError

    def read(self, path: Path) -> None:
        """Read a file, and assert what must hold of what it gives."""
        raise NotImplementedError

    def ask(self, name: str, data: bytes) -> None:
        """Give it a file in a folder of its own."""
        place = MEMORY if MEMORY.is_dir() else None
        with tempfile.TemporaryDirectory(dir=place) as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata and numbers are not what is asked about
            path = Path(folder) / name
            path.write_bytes(data)
            with refused:
                self.read(path)

    def missing(self) -> list[str]:
        """Return the packages that it needs and that are not there."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


def made(write: Callable[[Path], object], name: str) -> bytes:
    """Return the file that a function writes to a path of this name."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def repacked(data: bytes, member: int | None, change: Callable[[bytes], bytes]) -> bytes:
    """Return a file changed; of a ZIP archive, one member, and the archive packed anew around it.

    The archive's checksums would hide from whoever reads the member all that is changed from outside.

    Args:
        data: the file.
        member: its number, from 0 around again; None to change the file as it is.
        change: what is done.
    """
    if member is None or not zipfile.is_zipfile(io.BytesIO(data)):
        return change(data)
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        for number, name in enumerate(names):
            content = old.read(name)
            new.writestr(name, change(content) if number == member % len(names) else content)
    return packed.getvalue()


class TripletFile(Reader):
    """Lines of three names."""

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.triplets import Triplet, write_triplets

        lines = [Triplet("a/1.jpg", "a/2.jpg", "b/1.jpg"), Triplet('"', "a,b", "#\n")]
        names = ("t.txt", "t.txt.gz")
        return {name: made(lambda path: write_triplets(path, lines), name) for name in names}

    def read(self, path: Path) -> None:
        from deep_ranking.triplets import read_triplets

        for triplet in read_triplets(path):
            assert len(triplet) == 3
            assert all(triplet)
            assert not any("\0" in name for name in triplet)


class Images(Reader):
    """Pictures, of every format that is read."""

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.images.decode import FORMATS

        return {kind: self.picture(kind) for kind in FORMATS}

    def picture(self, kind: str) -> bytes:
        noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
        image, data = Image.fromarray(noise), io.BytesIO()
        if kind == "GIF":
            image.save(data, kind, save_all=True, append_images=[image.rotate(90)] * 2)
        elif kind == "JPEG":
            exif = Image.Exif()
            exif[0x0112] = 6
            image.convert("CMYK").save(data, kind, exif=exif)
        elif kind == "PNG":
            image.quantize(9).save(data, kind, transparency=1)
        elif kind == "TIFF":
            Image.fromarray(noise[..., 0].astype(np.uint16) * 256).save(data, kind)
        else:
            image.save(data, kind)
        return data.getvalue()

    def read(self, path: Path) -> None:
        from deep_ranking.images.decode import read_image, read_size, read_thumbnail

        for size in (None, (8, 8)):
            with refused:
                pixels = read_image(path, size)
                assert pixels.dtype == np.uint8
                assert pixels.ndim == 3
                assert pixels.shape[2] == 3
                assert size is None or pixels.shape == (*size, 3)
        with refused:
            assert max(read_thumbnail(path, 10).size) <= 10
        with refused:
            assert min(read_size(path)) >= 1


class Archive(Reader):
    """A ZIP archive, of which nothing may leave the folder it is unpacked to."""

    def sound(self) -> Mapping[str, bytes]:
        return {name: self.archive(kind) for kind, name in enumerate(["stored.zip", "deflated.zip"])}

    def archive(self, kind: int) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[kind]) as opened:
            for number in range(3):
                opened.writestr(f"folder/{number}.txt", b"content " * 50)
        return data.getvalue()

    def read(self, path: Path) -> None:
        from deep_ranking.datasets.archive import open_archive, unpack

        inside = path.with_name("inside")
        target = inside / "target"
        target.mkdir(parents=True)
        with contextlib.suppress(DeepRankingError, OSError), open_archive(path) as opened:
            targets = {m.filename: m.filename for m in opened.infolist() if not m.is_dir()}
            unpack(opened, targets, target, "")
        assert [entry.name for entry in inside.iterdir()] == ["target"]
        assert sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) < 10**6


class RatedArchive(Reader):
    """An archive of rated triplets, from which a data set is made, whole or not at all."""

    def sound(self) -> Mapping[str, bytes]:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as opened:
            for name in "abc":
                opened.writestr(f"images/cat/{name}.jpg", name)
            opened.writestr("triplets.txt", ",".join(f"images/cat/{name}.jpg" for name in "abc"))
        return {"rated.zip": data.getvalue()}

    def read(self, path: Path) -> None:
        from deep_ranking.datasets.human_triplets import prepare_human_triplets
        from deep_ranking.triplets import read_triplets

        output = path.with_name("output")
        with contextlib.suppress(DeepRankingError, OSError):  # the second: a name that no file may have
            counts = prepare_human_triplets(output, path, quiet=True)
            assert counts["triplets"] == len(list(read_triplets(output / "triplets.txt")))
        assert {entry.name for entry in path.parent.iterdir()} <= {path.name, "output"}


class Arrays(Reader):
    """NumPy's files."""

    def sound(self) -> Mapping[str, bytes]:
        arrays = {"paths": np.array(["a.jpg", "b.jpg"]), "vectors": np.eye(2, 9)}
        return {
            "a.npz": made(lambda path: np.savez(path, **arrays), "a.npz"),
            "c.npz": made(lambda path: np.savez_compressed(path, **arrays), "c.npz"),
            "a.npy": made(lambda path: np.save(path, arrays["vectors"]), "a.npy"),
        }

    def read(self, path: Path) -> None:
        from deep_ranking.files import read_array, read_arrays

        found = [read_array(path)] if path.suffix == ".npy" else read_arrays(path).values()
        assert all(isinstance(array, np.ndarray) and not array.dtype.hasobject for array in found)


class Embeddings(Reader):
    """A file of embeddings, which is one of features too."""

    def sound(self) -> Mapping[str, bytes]:
        paths, vectors = np.array(["a.jpg", "b.jpg"]), np.eye(2, 9, dtype=np.float32)
        return {"e.npz": made(lambda path: np.savez(path, paths=paths, vectors=vectors), "e.npz")}

    def read(self, path: Path) -> None:
        from deep_ranking.triplets.relevance import FeatureRelevance, read_features
        from deep_ranking.vectors import read_embeddings

        with refused:
            found = read_embeddings(path)
            assert np.isfinite(found.vectors).all()
            assert len(found.rows(map(str, found.paths))) == len(found.vectors)
        features = read_features(path, ["b.jpg", "a.jpg"])
        assert np.isfinite(FeatureRelevance([0, 0], features)([0], [1])).all()


class Store(Reader):
    """An index."""

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.search import Index

        def write(path: Path) -> None:
            with Index.create(path.parent, 3, "by hand") as index:
                index.add(["a/1.jpg", "a/2.jpg", "b/1.jpg"], np.eye(3), ["a", "a", "b"])

        return {"store.sqlite": made(write, "store.sqlite")}

    def read(self, path: Path) -> None:
        from deep_ranking.search import Index

        with Index.open(path.parent) as index:
            for hit in index.search(np.ones(3, np.float32), 2):
                assert isinstance(hit.path, str)
                assert np.isfinite(hit.distance)
            index.add(["c.jpg"], np.ones((1, 3)), [""])


class Ratings(Reader):
    """A file of ratings."""

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.ratings import RatingStore

        def write(path: Path) -> None:
            with RatingStore(path) as store:
                for number in range(9):
                    store.add("Ann", f"{number}.jpg", "a.jpg", "b.jpg", "a")

        return {"r.sqlite": made(write, "r.sqlite")}

    def read(self, path: Path) -> None:
        from deep_ranking.ratings import RatingStore

        with RatingStore(path) as store:
            assert all(isinstance(rating.query, str) for rating in store.ratings())
            assert all(isinstance(rating.query, str) for rating in store.stream())
            store.add("Bob", "q.jpg", "a.jpg", "b.jpg", "b")
            store.undo("Bob")


class Pairs(Reader):
    """Scored pairs."""

    needs = ("pyarrow",)

    def sound(self) -> Mapping[str, bytes]:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({"image": ["a"], "other": ["b"], "relevance": [0.5]})
        return {
            "p.csv": b'image,other,relevance\na/1.jpg,"a/2,3.jpg",0.5\n',
            "p.parquet": made(lambda path: pyarrow.parquet.write_table(table, path), "p.parquet"),
        }

    def read(self, path: Path) -> None:
        from deep_ranking.triplets.relevance.pairs import read_pairs

        for _, image, other, relevance in read_pairs(path):
            assert image
            assert other
            assert 0 <= relevance < np.inf


class Hierarchy(Reader):
    """A tree of classes."""

    def sound(self) -> Mapping[str, bytes]:
        return {
            "h.tsv": b"# classes\nbeagle\tdog\ndog\tanimal\n",
            "h.json": b'{"beagle": "dog", "cat": "dog"}',
        }

    def read(self, path: Path) -> None:
        from deep_ranking.triplets.relevance import Hierarchy

        assert Hierarchy.read(path).lineage("dog")[-1] == "dog"


class Log(Reader):
    """The log of a training."""

    def sound(self) -> Mapping[str, bytes]:
        return {"m.csv": b"epoch,loss,val_precision\n0,,0.5\n1,0.25,0.75\n"}

    def read(self, path: Path) -> None:
        from deep_ranking.evaluation.log import read_log

        columns = read_log(path.with_suffix(".h5"))
        assert len({len(column) for column in columns.values()}) == 1


class Drawn(Reader):
    """What is known about drawn images."""

    def sound(self) -> Mapping[str, bytes]:
        return {"relevance.csv": b"path,class,hue,size,angle\nring/1.png,ring,350,0.5,-10\n"}

    def read(self, path: Path) -> None:
        from deep_ranking.datasets.demo import read_relevance

        assert all(np.isfinite(drawn[2:]).all() for drawn in read_relevance(path))


class Codebook(Reader):
    """The codebook of a feature."""

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.extras.handmade.texton import TextonPyramid

        feature = TextonPyramid(textons=2, codebook={"words": np.ones((2, 15), np.float32)})
        return {"c.npz": made(feature.save, "c.npz")}

    def read(self, path: Path) -> None:
        from deep_ranking.extras.handmade.texton import TextonPyramid

        feature = TextonPyramid(textons=2).load(path)
        assert feature.fingerprint()
        assert feature.compute(np.zeros((8, 8, 3), np.uint8)).shape == (feature.dimension,)


class Golden(Reader):
    """The weights of features."""

    def sound(self) -> Mapping[str, bytes]:
        return {"g.json": b'{"golden_feature": {"color": 0.5, "hog": 1}}'}

    def read(self, path: Path) -> None:
        from deep_ranking.blend.golden import GoldenFeature

        assert all(0 <= weight < np.inf for weight in GoldenFeature.load(path).weights.values())


class Sampler(Reader):
    """The state of a sampler."""

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.triplets.online import OnlineSampler
        from deep_ranking.triplets.settings import ImportanceSettings

        sampler = OnlineSampler(3, settings=ImportanceSettings(out_of_class_ratio=1), seed=1)
        sampler.add(np.arange(12), np.arange(12) % 2)
        return {"s.npz": made(sampler.save, "s.npz")}

    def read(self, path: Path) -> None:
        from deep_ranking.triplets.online import OnlineSampler

        sampler = OnlineSampler.load(path)
        assert np.isin(sampler.draw(3), sampler.reservoirs.ids).all()


class Tar(Reader):
    """A tar file of images, read as a stream."""

    needs = ("fsspec",)

    def sound(self) -> Mapping[str, bytes]:
        found = {}
        for name, kind in {"gnu.tar": tarfile.GNU_FORMAT, "pax.tar": tarfile.PAX_FORMAT}.items():
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w", format=kind) as archive:
                for member, content in (("a/é.jpg", b"picture"), ("a/é.cls", b"cat"), ("a" * 120, b"")):
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            held = data.getvalue().rstrip(b"\0")
            found[name] = held + bytes(-len(held) % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
        return found

    def read(self, path: Path) -> None:
        from deep_ranking.extras.ray.sources import Source, read_source

        size = path.stat().st_size
        for image in read_source(str(path.parent), Source(path.name, size, 0)):
            assert isinstance(image.content, bytes)
            assert len(image.content) <= size
            assert isinstance(image.label, str)


class Table(Tar):
    """A Parquet file of images."""

    needs = ("fsspec", "pyarrow")

    def sound(self) -> Mapping[str, bytes]:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.table({"image": [b"picture"], "path": ["a.jpg"], "label": ["cat"]})
        return {"t.parquet": made(lambda path: pyarrow.parquet.write_table(table, path), "t.parquet")}


class Shard(Reader):
    """A finished shard of an index that a cluster makes."""

    needs = ("fsspec", "pyarrow")

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.extras.ray.shards import Result, to_parquet
        from deep_ranking.search.image import Image

        image = Image("a.jpg", bytes(32), 7, 7, "cat")
        return {"s.parquet": to_parquet(Result([image], {bytes(32): np.ones(2)}, {"b.jpg": "cut"}), 2)}

    def read(self, path: Path) -> None:
        from deep_ranking.extras.ray.shards import from_parquet

        found = from_parquet(path.read_bytes())
        for image in found.images:
            assert isinstance(image.path, str)
            assert np.isfinite(found.vectors[image.hash]).all()


class Packed(Reader):
    """The entries of a pack of decoded images, beside its pixels."""

    size = (2, 3)

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.images.cache import Pack

        with tempfile.TemporaryDirectory() as folder:
            pack = Pack.create(Path(folder), "p", 2, self.size)
            for number in range(2):
                pack.add(bytes([number]) * 16, np.full((*self.size, 3), number, np.uint8))
            (keys,) = Path(folder).glob("*.keys")
            return {"p.keys": keys.read_bytes()}

    def read(self, path: Path) -> None:
        from deep_ranking.images.cache import Pack

        path.with_suffix(".pixels").write_bytes(bytes(18) + bytes([1]) * 18)
        found = Pack.open(path, self.size)
        if found:
            pack, keys = found
            for place in range(len(keys)):
                assert not pack.is_sound(place) or np.ptp(pack.pixels[place]) == 0


class ModelFile(Reader):
    """A model file, all that is read of it without building the network."""

    def sound(self) -> Mapping[str, bytes]:
        import keras

        from deep_ranking.network.file import ENDINGS, save_network

        network = keras.Sequential(
            [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2, name="head")]
        )
        names = [f"m{ending}" for ending in ENDINGS]
        return {n: made(lambda path: save_network(network, path, {"made": "here"}), n) for n in names}

    def read(self, path: Path) -> None:
        import keras

        from deep_ranking.network.file import read_metadata
        from deep_ranking.network.weights import is_weights_only, load_blog_weights

        with refused:
            assert isinstance(read_metadata(path), dict)
        with refused:
            is_weights_only(path)
        load_blog_weights(keras.Sequential([keras.Input((2,))]), path)


class Network(ModelFile):
    """A model file, from which the network is built."""

    def read(self, path: Path) -> None:
        from deep_ranking.embedding import Model

        embedder = Model.load(path)
        assert embedder.dimension >= 1
        assert min(embedder.size) >= 1


class Checkpoints(Reader):
    """The checkpoint of a training."""

    def __init__(self) -> None:
        self._model = None

    @property
    def model(self):
        import keras

        if self._model is None:
            self._model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
            self._model.compile("sgd", "mse")
        return self._model

    def sound(self) -> Mapping[str, bytes]:
        from deep_ranking.training.checkpoint import Checkpoint, Progress

        progress = Progress(3, 0.5, ({"epoch": 0},))
        return {
            "c.checkpoint": made(
                lambda path: Checkpoint(path, "run").save(self.model, progress), "c.checkpoint"
            )
        }

    def read(self, path: Path) -> None:
        from deep_ranking.training.checkpoint import Checkpoint, Progress

        assert isinstance(Checkpoint(path, "run").restore(self.model), Progress)


READERS: dict[str, Reader] = {
    "archive": Archive(),
    "arrays": Arrays(),
    "checkpoint": Checkpoints(),
    "codebook": Codebook(),
    "drawn images": Drawn(),
    "embeddings": Embeddings(),
    "golden feature": Golden(),
    "hierarchy": Hierarchy(),
    "image": Images(),
    "index": Store(),
    "log": Log(),
    "model": ModelFile(),
    "network": Network(),
    "pack": Packed(),
    "pairs": Pairs(),
    "rated archive": RatedArchive(),
    "ratings": Ratings(),
    "sampler": Sampler(),
    "shard": Shard(),
    "table": Table(),
    "tar": Tar(),
    "triplets": TripletFile(),
}
