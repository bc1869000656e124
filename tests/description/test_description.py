"""Images described with nothing to train: the map against plain NumPy, what an index and the cache keep."""

import io
import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import deep_ranking as dr
from deep_ranking.description import reader as reading
from deep_ranking.description.components import COUNTS, LOOKS, PRIOR_WEIGHT, Map, load_prior
from deep_ranking.description.description import Description, split
from deep_ranking.description.reader import PARTS, Reader
from deep_ranking.errors import DeepRankingError

RNG = np.random.default_rng(0)
WIDTH = sum(PARTS.values())
EIGHTS = RNG.normal(size=(8 * 8 * 3, WIDTH)).astype(np.float32)


def engine(images):
    """Stands for the network: any function of the pixels, part by part of unit length."""
    engine.seen += len(images)
    cells = images.reshape(len(images), 8, 28, 8, 28, 3).mean(axis=(2, 4), dtype=np.float32)
    parts = split(np.maximum(cells.reshape(len(images), -1) @ EIGHTS, 0))
    return np.concatenate([x / np.linalg.norm(x, axis=1, keepdims=True) for x in parts.values()], axis=1)


@pytest.fixture(autouse=True)
def no_network(monkeypatch, request, tmp_path):
    engine.seen = 0
    monkeypatch.setenv("DEEP_RANKING_CACHE", str(tmp_path / "kept"))
    if "real" in request.keywords:
        return

    def opened(weights=None, engine_name="auto", precision="float32", digest=None):
        return Reader("the weights", lambda: engine)

    monkeypatch.setattr("deep_ranking.description.description.open_reader", opened)


def draw(folder: Path, count: int, seed: int = 0) -> list[str]:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((300, 240), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")
    return sorted(map(str, folder.iterdir()))


def drawn_parts(count: int) -> dict[str, np.ndarray]:
    parts = split(np.abs(RNG.normal(size=(count, WIDTH))).astype(np.float32))
    return {name: x / np.linalg.norm(x, axis=1, keepdims=True) for name, x in parts.items()}


def test_the_map_is_what_its_formula_says():
    """An oracle that makes every covariance whole, and takes one image after the other."""
    parts = drawn_parts(60)
    fitted = Map.fit(parts, "balanced")
    whole: list[list[np.ndarray]] = [[] for _ in range(5)]
    for name, (weight, power) in LOOKS["balanced"].items():
        x, prior = parts[name].astype(np.float64), load_prior()[name]
        total = len(x) + PRIOR_WEIGHT
        mean = (x.sum(axis=0) + PRIOR_WEIGHT * prior.mean) / total
        between = np.outer(prior.mean - mean, prior.mean - mean)
        covariance = (x - mean).T @ (x - mean)
        covariance += PRIOR_WEIGHT * (prior.rows.T.astype(np.float64) @ prior.rows + between)
        values, axes = np.linalg.eigh(covariance / total)
        top = np.argsort(values)[::-1][: COUNTS[name]]
        # The sign of an axis is chosen so that its largest entry is positive.
        sign = np.sign(axes[np.abs(axes[:, top]).argmax(axis=0), top])
        for image, parts_of_it in enumerate(whole):
            y = (x[image] - mean) @ axes[:, top] / values[top] ** (power / 2) * sign
            parts_of_it.append(weight**0.5 * y / np.linalg.norm(y))
    expected = [np.concatenate(y) / np.linalg.norm(np.concatenate(y)) for y in whole]
    found = fitted({name: x[:5] for name, x in parts.items()})
    assert found.dtype == np.float32
    cosines = (found * np.array(expected)).sum(axis=1)
    assert cosines.min() > 0.9995  # its numbers are kept in 8 bits


def test_a_map_comes_back_from_its_text():
    parts = drawn_parts(20)
    fitted = Map.fit(parts, "people")
    text = json.dumps(fitted.to_json())
    assert len(text) < 750_000
    np.testing.assert_array_equal(Map.from_json(json.loads(text))(parts), fitted(parts))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told.pop("lower"),
        lambda told: told["last"].update(weight="heavy"),
        lambda told: told["last"].update(weight=-1),
        lambda told: told["last"].update(weight=float("nan")),
        lambda told: told["last"].update(axes=told["last"]["axes"][:-8]),
        lambda told: told["last"].update(axes="no base64!"),
        lambda told: told["colour"].update(scale=told["colour"]["mean"]),
        lambda told: told["last"].update(mean=7),
    ],
)
def test_what_is_no_map_is_refused(spoil):
    told = Map.fit(drawn_parts(3)).to_json()
    spoil(told)
    with pytest.raises(DeepRankingError, match="components: expected what a description keeps"):
        Map.from_json(told)


def test_an_index_keeps_the_description_and_embeds_later_images_alike(tmp_path):
    paths = draw(tmp_path / "photos", 7)
    index = dr.Index.from_folder(tmp_path / "photos", quiet=True)
    assert (index.report.embedded, index.dimension) == (7, sum(COUNTS.values()))
    assert engine.seen == 7  # each image is read once, for fitting and for the index
    first = index.embedder
    later = draw(tmp_path / "later", 3, seed=1)
    for path in later:
        Path(path).rename(tmp_path / "photos" / f"later-{Path(path).name}")
    again = dr.Index.from_folder(tmp_path / "photos", quiet=True)
    assert (again.report.embedded, again.report.unchanged) == (3, 7)
    assert again.embedder.fingerprint == first.fingerprint
    vectors = again.snapshot.search(first.encode(paths[2]), 1, dr.Options())[0]
    assert (vectors[0].path, vectors[0].distance) == ("02.png", pytest.approx(0, abs=1e-4))
    opened = dr.Index.open(tmp_path / "photos")
    stranger = draw(tmp_path / "strangers", 1, seed=9)[0]
    hit = opened.search(stranger, k=1)[0]
    expected = np.linalg.norm(first.encode(stranger) - first.encode(str(tmp_path / "photos" / hit.path)))
    assert hit.distance == pytest.approx(float(expected), abs=1e-4)


def test_from_metadata_gives_identical_vectors(tmp_path):
    paths = draw(tmp_path / "photos", 5)
    fitted = Description.fit(paths)
    kept = fitted.embed(paths).vectors
    back = Description.from_metadata(fitted.metadata())
    np.testing.assert_array_equal(back.embed(paths).vectors, fitted.embed(paths).vectors)
    np.testing.assert_allclose(kept, back.embed(paths).vectors, atol=1e-6)
    assert (back.fingerprint, back.look, back.dimension) == (fitted.fingerprint, "balanced", 416)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).encode(paths), back.encode(paths))
    assert dr.embedder_of(fitted.metadata()).fingerprint == fitted.fingerprint


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_images_are_enough(tmp_path, count):
    paths = draw(tmp_path / "photos", max(count, 2))
    fitted = Description.fit(paths[:count])
    vectors = fitted.encode(paths)
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert fitted.distance(paths[0], paths[1]) > 0.1


def test_equal_images_have_one_vector(tmp_path):
    paths = draw(tmp_path / "photos", 1) * 6
    vectors = Description.fit(paths).encode(paths)
    np.testing.assert_allclose(vectors, vectors[:1].repeat(6, axis=0), atol=1e-6)
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, rel=1e-5)


def test_fingerprints_tell_looks_and_images_apart(tmp_path):
    paths = draw(tmp_path / "photos", 6)
    made = [Description.fit(paths, look) for look in LOOKS]
    made += [
        Description.fit(paths[:5]),
        Description("balanced", made[0].map, Reader("others", made[0].reader)),
    ]
    assert len({one.fingerprint for one in made}) == len(made)
    assert Description.fit(paths).fingerprint == made[0].fingerprint
    with pytest.raises(
        DeepRankingError, match="look: expected one of balanced, people, classes, found 'nice'"
    ):
        Description.fit(paths, "nice")


def test_images_that_cannot_be_read_are_left_out(tmp_path):
    paths = draw(tmp_path / "photos", 4)
    broken = tmp_path / "photos" / "00a.png"
    broken.write_bytes(b"no image")
    fitted = Description.fit([paths[0], broken, *paths[1:]])
    vectors, failures = fitted.embed([paths[0], broken, *paths[1:]])
    assert (len(vectors), [path for path, _ in failures]) == (4, [str(broken)])
    np.testing.assert_allclose(vectors, fitted.encode(paths), atol=1e-6)
    with pytest.raises(DeepRankingError, match=r"none of 1 images can be read, the first: .*00a\.png"):
        Description.fit([broken])


def test_bytes_and_files_changed_since_the_fit_are_read(tmp_path):
    paths = draw(tmp_path / "photos", 4)
    contents = [Path(path).read_bytes() for path in paths]
    fitted = Description.fit(contents)
    np.testing.assert_allclose(fitted.embed(contents).vectors, fitted.encode(paths), atol=1e-6)
    fitted = Description.fit(paths)
    Image.new("RGB", (40, 40), "red").save(paths[0])
    found = fitted.embed(paths).vectors
    np.testing.assert_allclose(found, fitted.encode(paths), atol=1e-6)


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"version": 1, "look": 2, "weights": 3, "map": 4}', "{" * 9]
)
def test_metadata_that_is_no_description_is_refused(text):
    with pytest.raises(DeepRankingError, match=r"description: expected|components: expected"):
        Description.from_metadata({"description": text})
    with pytest.raises(DeepRankingError, match="description: expected what"):
        Description.from_metadata({})


def test_another_version_is_told(tmp_path):
    told = json.loads(Description.fit([]).metadata()["description"]) | {"version": 99}
    with pytest.raises(
        DeepRankingError, match="expected one of version 1, found 99; a later version of deep"
    ):
        Description.from_metadata({"description": json.dumps(told)})


def test_an_index_that_remembers_nothing_says_so():
    with pytest.raises(DeepRankingError, match="remembers no model"):
        dr.embedder_of({"images": "photos"})


# The reader, kept for OpenVINO.


def small_network(file, value=1.0):
    image = keras.Input((224, 224, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.AveragePooling2D(32)(image))
    x = keras.layers.Dense(WIDTH, kernel_initializer=keras.initializers.Constant(value))(x)
    return keras.Model(image, x), f"{int(Path(file).read_text()):064x}"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    file = tmp_path / "weights"
    file.write_text("1")
    made = []

    def network(file):
        made.append(file)
        return small_network(file)

    monkeypatch.setattr(reading, "_network", network)
    monkeypatch.delenv("DEEP_RANKING_WEIGHTS", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nothing"))
    return file, made


IMAGES = RNG.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)


def test_the_reader_is_made_once_for_each_weights(weights, tmp_path):
    file, made = weights
    assert reading.needs_keras(file)
    first = reading.open_reader(file)
    assert not reading.needs_keras(file)
    again = reading.open_reader(file)
    assert len(made) == 1
    np.testing.assert_array_equal(first(IMAGES), again(IMAGES))
    np.testing.assert_allclose(first(IMAGES)[:, 0], IMAGES.mean(axis=(1, 2)).sum(axis=1), rtol=1e-4)
    (tmp_path / "copy").write_text("1")  # known by its content, under whatever name
    assert reading.open_reader(tmp_path / "copy").weights == first.weights
    assert len(made) == 1
    file.write_text("2")
    assert reading.open_reader(file).weights != first.weights
    assert len(made) == 2
    # What an index was made with needs no file any more, nor is it disturbed by others.
    assert reading.open_reader(None, digest=first.weights).weights == first.weights
    assert reading.open_reader(file, digest=first.weights).weights == first.weights
    assert len(made) == 2
    with pytest.raises(DeepRankingError, match="expected MobileNetV2's weights of the SHA-256 abc"):
        reading.open_reader(file, digest="abc")


@pytest.mark.parametrize(
    "damage",
    [*(pytest.param(damage, marks=pytest.mark.long) for damage in ("cut", "empty")), "flipped", "other"],
)
def test_a_damaged_reader_is_noticed_and_made_anew(weights, tmp_path, damage, caplog):
    file, made = weights
    good = reading.open_reader(file)(IMAGES)
    (kept,) = (tmp_path / "kept").glob("reader-*.npz")
    content = bytearray(kept.read_bytes())
    if damage == "flipped":
        content[content.index(b"weights.npy") + 5000] ^= 1
    elif damage == "other":
        arrays = dict(np.load(kept))
        arrays["weights"] = arrays["weights"] ^ 1  # a sound archive of other numbers
        file_like = io.BytesIO()
        np.savez(file_like, **arrays)
        content = bytearray(file_like.getvalue())
    kept.write_bytes({"cut": content[:-1000], "empty": b""}.get(damage, content))
    np.testing.assert_array_equal(reading.open_reader(file)(IMAGES), good)
    assert len(made) == 2
    assert "damaged, and made anew" in caplog.text
    caplog.clear()
    reading.open_reader(file)
    assert (len(made), caplog.text) == (2, "")


def test_a_reader_of_another_openvino_is_not_taken(weights, monkeypatch):
    file, made = weights
    reading.open_reader(file)
    monkeypatch.setattr("deep_ranking.embedding.kept.version", lambda package: "1.0")
    reading.open_reader(file)
    assert len(made) == 2


def test_where_nothing_can_be_kept_it_works_all_the_same(weights, tmp_path, caplog):
    file, made = weights
    (tmp_path / "kept").write_text("a file where the folder would be")
    for _ in range(2):
        reading.open_reader(file)(IMAGES)
    assert len(made) == 2
    assert "made anew each time" in caplog.text


def test_several_may_make_it_at_once(weights):
    file, _ = weights
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(reading.open_reader(file)(IMAGES))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    np.testing.assert_array_equal(found[0], reading.open_reader(file)(IMAGES))


def test_keras_runs_it_where_openvino_is_not_installed(weights, monkeypatch):
    file, made = weights
    by_openvino = reading.open_reader(file)(IMAGES)
    monkeypatch.setattr(reading, "_has_openvino", lambda: False)
    assert reading.needs_keras(file)
    np.testing.assert_allclose(reading.open_reader(file)(IMAGES), by_openvino, rtol=1e-4)
    with pytest.raises(dr.MissingExtraError, match="openvino"):
        reading.open_reader(file, engine="openvino")
    np.testing.assert_allclose(reading.open_reader(file, engine="keras")(IMAGES), by_openvino, rtol=1e-4)
    assert len(made) == 3


@pytest.mark.parametrize("one", ["photos", Path("photos")])
def test_a_folder_is_not_taken_for_the_images(one):
    with pytest.raises(DeepRankingError, match=r"paths: expected several images, found .*photos"):
        Description.fit(one)


@pytest.mark.parametrize("wrong", [{"engine": "cuda"}, {"precision": "float16"}, {"weights": "gone.h5"}])
def test_wrong_choices_are_told_before_anything_is_made(weights, wrong):
    file, made = weights
    with pytest.raises(DeepRankingError, match=r"engine: expected|precision: expected|weights: gone\.h5"):
        reading.open_reader(**{"weights": file, **wrong})
    assert made == []


# With the true network.


SECOND_TIME = """
import sys
import deep_ranking as dr
index = dr.Index.from_folder(sys.argv[1], quiet=True)
later = dr.Index.open(sys.argv[1])
assert later.search(sys.argv[2], k=1)
assert {"keras", "tensorflow"}.isdisjoint(sys.modules), "imported"
print(index.report.embedded, index.metadata["fingerprint"])
"""


@pytest.mark.long
@pytest.mark.real
def test_from_the_second_time_on_no_keras_is_imported(true_weights, tmp_path):
    paths = draw(tmp_path / "photos", 3)
    stranger = draw(tmp_path / "strangers", 1, seed=5)[0]
    first = dr.Index.from_folder(tmp_path / "photos", place=tmp_path / "first.index", quiet=True)
    ran = subprocess.run(
        [sys.executable, "-c", SECOND_TIME, str(tmp_path / "photos"), stranger],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["3", first.metadata["fingerprint"]]
    # Its parts, by Keras alone and another way round: the image, and its mirror image, one by one.
    fitted = first.embedder
    assert fitted.reader.weights == dr.load(engine="keras").fingerprint
    backbone = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(224, 224, 3))
    backbone.load_weights(true_weights)
    taps = keras.Model(backbone.input, [backbone.output, backbone.get_layer("block_13_project_BN").output])
    pixels = dr.read_image(paths[0], (224, 224))

    def rooted(values):
        values = values / np.sqrt(np.abs(values) + 1e-6)
        return values / np.linalg.norm(values)

    sides = []
    for side in (pixels, pixels[:, ::-1]):
        last, lower = (np.asarray(x)[0] for x in taps(side[None] / np.float32(127.5) - 1))
        cells = [lower[y : y + 3, x : x + 3].mean(axis=(0, 1)) for y in (0, 2, 4) for x in (0, 2, 4)]
        sides.append((rooted(last.mean(axis=(0, 1))), rooted(np.concatenate(cells))))
    expected = [one + other for one, other in zip(*sides, strict=True)]
    found = split(fitted.reader(pixels[None]))
    for name, both in zip(("last", "lower"), expected, strict=True):
        np.testing.assert_allclose(found[name][0], both / np.linalg.norm(both), atol=2e-4)


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_rated_triplets_are_ranked_better_than_by_the_last_layer(true_weights, shared, tmp_path):
    """The figures of docs/experiments.md, of the triplets; nothing is learned from a label."""
    archive = Path(shared, "data/human-triplets-development.zip")
    if not archive.is_file():
        pytest.skip("needs the human-rated triplets")
    dr.prepare_human_triplets(tmp_path / "human", archive, quiet=True)
    table = dr.Triplets.load(tmp_path / "human/triplets.txt", tmp_path / "human")

    def precision(vectors):
        return dr.similarity_precision(dr.triplet_distances(vectors, table.rows)).mean()

    found = precision(Description.fit(table.images).embed_all(table.images))
    plain = precision(dr.load().embed_all(table.images))
    assert found >= 0.843
    assert found >= plain + 0.025
