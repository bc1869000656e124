"""The model as a person uses it: whatever form images have, the vectors are those of their files."""

import io
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import deep_ranking as dr
from deep_ranking.embedding import Model
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.decode import ImageError, read_image
from deep_ranking.network.file import ModelFileError

SIZE = (32, 48)
RNG = np.random.default_rng(0)


class Elsewhere:
    """A tensor that other memory holds, as PyTorch's on a GPU."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("its values lie on another device")


@pytest.fixture(scope="module")
def model():
    """The pixels themselves, so that whatever is done to an image shows."""
    image = keras.Input((*SIZE, 3))
    return Model(keras.Model(image, keras.layers.Flatten()(image)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images of several modes and sizes, some on their side."""
    folder = tmp_path_factory.mktemp("files")
    pixels = RNG.integers(0, 256, (60, 90, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels[..., :3]).save(folder / "rgb.png")
    Image.fromarray(pixels[..., :3]).save(folder / "turned.jpg", exif=exif)
    Image.fromarray(pixels).save(folder / "transparent.png")
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    Image.fromarray(pixels[..., :3]).convert("P").save(folder / "palette.gif")
    Image.fromarray(pixels[..., :3]).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(RNG.integers(0, 65536, (40, 40), dtype=np.uint16)).save(folder / "deep.png")
    return sorted(folder.iterdir())


def test_one_or_many_in_any_form_are_what_the_files_are(model, files):
    expected = np.stack([read_image(path, SIZE).ravel() for path in files]).astype(np.float32)
    opened = [Image.open(path) for path in files]
    for images in (
        files,
        tuple(map(str, files)),
        (path for path in files),
        np.array([str(path) for path in files]),
        [path.read_bytes() for path in files],
        [bytearray(path.read_bytes()) for path in files],
        (io.BytesIO(path.read_bytes()) for path in files),
        opened,
        [read_image(path) for path in files],
        [read_image(path).astype(np.float64) for path in files],
        [read_image(path, SIZE) for path in files],
        np.stack([read_image(path, SIZE) for path in files]),
        [str(files[0]), files[1], files[2].read_bytes(), opened[3], *map(read_image, files[4:])],
    ):
        found = model.encode(images, batch_size=3)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    for path, vector in zip(files, expected, strict=True):
        for one in (path, str(path), path.read_bytes(), read_image(path), read_image(path, SIZE)):
            np.testing.assert_array_equal(model.encode(one), vector[None])
    for picture, vector in zip(opened, expected, strict=True):
        np.testing.assert_array_equal(model.encode(picture), vector[None])
        picture.close()
    with files[0].open("rb") as file:
        np.testing.assert_array_equal(model.encode(file), expected[:1])


def test_a_given_picture_is_not_changed(model, files):
    picture = Image.open(next(path for path in files if path.name == "turned.jpg"))
    before = picture.size, picture.mode, picture.getexif().get(0x0112)
    for _ in range(2):
        model.encode([picture] * 5, workers=4)
    assert (picture.size, picture.mode, picture.getexif().get(0x0112)) == before
    picture.load()  # it is still open


def test_no_images_are_no_vectors(model):
    for none in ([], (), np.zeros((0, *SIZE, 3), np.uint8)):
        assert model.encode(none).shape == (0, model.dimension)


def test_floats_of_the_networks_size_are_taken_as_they_are(model):
    images = RNG.uniform(0, 255, (2, *SIZE, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.encode(images), images.reshape(2, -1))
    np.testing.assert_array_equal(model.encode(list(images)), images.reshape(2, -1))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (7, "expected a path, a PIL image, .* or a list of these; found int"),
        (None, "found NoneType"),
        ({"cats": ["a.jpg"]}, "found dict"),
        (["a.jpg", 7], "image 2: expected a path, .* found int"),
        (["a.jpg", ["b.jpg"]], "image 2: expected a path, .* found list"),
        (np.zeros((4, 4)), r"expected an array \(height, width, 3\) or .*, found shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"expected an array \(height, width, 3\), found shape \(4, 4, 4\)"),
        ([np.zeros((0, 4, 3), np.uint8)], r"image 1: .* found shape \(0, 4, 3\)"),
        ([np.zeros((2, 4, 4, 3), np.uint8)], r"image 1: .* found shape \(2, 4, 4, 3\)"),
        (np.full((4, 4, 3), -1), "RGB values of 0 to 255, found -1 to -1"),
        (np.full((4, 4, 3), 255.5), "RGB values of 0 to 255, found 255.5 to 255.5"),
        (np.full((4, 4, 3), np.nan), "RGB values of 0 to 255, found nan to nan"),
        (np.full((4, 4, 3), True), "RGB values of 0 to 255, found an array of bool"),
        (np.zeros(3), r"found shape \(3,\)"),
        (np.ma.masked_less(np.arange(48).reshape(4, 4, 3), 5), "without masked values; fill them first"),
        (Elsewhere(), "^no array of NumPy's can be made of it: its values lie on another device"),
        ([Elsewhere()], "^image 1: no array of NumPy's can be made of it: its values"),
        (io.StringIO("text"), "expected a file open for reading bytes, 'rb'; found one of text"),
        (b"photos/a.jpg", r"it is the text 'photos/a.jpg'; a path is given as a text, not as bytes"),
        (b"", r"cannot be read as an image \(it is empty\)"),
        (Image.new("RGB", (5, 0)), "expected pixels, found 5 x 0 of them"),
    ],
)
def test_what_is_no_image_is_refused_in_words(model, images, message):
    with pytest.raises(DeepRankingError, match=message):
        model.encode(images)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number of 1 or more, found 0"),
        ({"batch_size": -1}, "batch_size: .* found -1"),
        ({"batch_size": 1.5}, "batch_size: .* found 1.5"),
        ({"workers": -1}, "workers: expected a whole number of 0 or more, found -1"),
        ({"workers": "2"}, "workers: .* found '2'"),
    ],
)
def test_sizes_that_are_none_are_refused(model, files, how, message):
    with pytest.raises(DeepRankingError, match=message):
        model.encode(files, **how)


def test_what_the_user_has_set_in_keras_changes_no_network_of_ours(monkeypatch):
    def first_layers_of(model):
        return {layer.dtype_policy.name for layer in model.network.layers}

    monkeypatch.setattr("deep_ranking.embedding.model.load_pretrained", lambda *args: "")
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    try:
        assert first_layers_of(Model.pretrained()) == {"float32"}
        assert keras.config.dtype_policy().name == "mixed_float16"
        assert (keras.config.floatx(), keras.config.image_data_format()) == ("float16", "channels_first")
    finally:
        keras.config.set_dtype_policy("float32")
        keras.config.set_floatx("float32")
        keras.config.set_image_data_format("channels_last")


def test_floats_of_0_to_1_are_warned_of(model, caplog):
    model.encode(np.full((*SIZE, 3), 0.5))
    assert "RGB values of 0 to 1, nearly black" in caplog.text
    caplog.clear()
    model.encode(np.zeros((*SIZE, 3)))
    assert not caplog.text


def test_an_image_that_cannot_be_read_is_named(model, files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:60])
    with pytest.raises(ImageError, match=r"^no-such\.png: no such image"):
        model.encode("no-such.png")
    with pytest.raises(ImageError, match=r"^image 2 of 3: .*broken\.png: cannot be read as an image"):
        model.encode([files[0], broken, "no-such.png"])
    with pytest.raises(ImageError, match=r"^image 2 of 2: the image: cannot be read"):
        model.encode([files[0].read_bytes(), b"nonsense"])
    truncated = files[0].read_bytes()[:3000]
    with pytest.raises(ImageError, match=r"^image 2 of 2: the image: cannot be read"):
        model.encode([files[0], Image.open(io.BytesIO(truncated))])


def test_distance(model, files):
    a, b, c = files[:3]
    vectors = model.encode([a, b, c])
    apart = np.linalg.norm(vectors[0] - vectors[1])
    assert isinstance(model.distance(a, b), float)
    assert model.distance(a, Image.open(b)) == pytest.approx(apart)
    assert model.distance(a, a) == 0
    many = model.distance([a, b], [b, c])
    np.testing.assert_allclose(many, np.linalg.norm(vectors[:2] - vectors[1:], axis=1), rtol=1e-6)
    assert model.distance(a, [a, b, c]).shape == (3,)
    assert model.distance([a, b, c], a).shape == (3,)
    assert model.distance([a], [b]).shape == (1,)
    assert model.distance([], []).shape == (0,)
    with pytest.raises(DeepRankingError, match="expected as many images as in the other list, 2, found 3"):
        model.distance([a, b], [a, b, c])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="converters read TensorFlow's graphs")
@pytest.mark.filterwarnings("ignore::FutureWarning:keras", "ignore::DeprecationWarning")
def test_export_goes_by_the_name(tmp_path):
    model = Model(dr.build_network(dr.NetworkSettings("simple", 32, 8)))
    with pytest.raises(DeepRankingError, match=r"expected a name that ends in \.onnx, \.xml, \.tflite, or"):
        model.export(tmp_path / "model.exe")
    assert model.export(tmp_path / "exported") > 0.9999
    assert (tmp_path / "exported/saved_model.pb").is_file()


def test_load_is_of_a_file_or_pretrained(tmp_path, monkeypatch):
    network = dr.build_network(dr.NetworkSettings("simple", 32, 8))
    dr.save_network(network, tmp_path / "model.h5", {"metrics": {}})
    model = dr.load(tmp_path / "model.h5", engine="keras")
    assert (model.size, model.dimension, model.metadata) == ((32, 32), 8, {"metrics": {}})
    assert repr(model) == "<Model: images of 32 x 32 pixels -> 8 numbers>"
    with pytest.raises(ModelFileError, match=r"gone\.h5"):
        dr.load(tmp_path / "gone.h5")
    monkeypatch.setenv("DEEP_RANKING_WEIGHTS", "gone.h5")
    with pytest.raises(
        DeepRankingError, match=r"DEEP_RANKING_WEIGHTS=gone\.h5: expected a file of MobileNetV2"
    ):
        dr.load()


@pytest.mark.filterwarnings("ignore:.*input_shape:UserWarning")
def test_pretrained_has_the_fingerprint_of_its_weights(tmp_path, monkeypatch):
    """Weights drawn here stand for ImageNet's, which a test may not download."""
    found = []
    keras.utils.set_random_seed(0)
    backbone = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(224, 224, 3))
    for change in (0, 0, 1e-3):
        file = tmp_path / f"{len(found)}.weights.h5"
        first = backbone.weights[0]
        first.assign(first + change)
        backbone.save_weights(file)
        monkeypatch.setenv("DEEP_RANKING_WEIGHTS", str(file))
        found.append(dr.load(engine="keras"))
    one, same, other = found
    assert (one.size, one.dimension) == ((224, 224), 1280)
    assert len(one.fingerprint) == 64
    assert one.fingerprint == same.fingerprint != other.fingerprint
    vectors = one.encode(RNG.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_pretrained_that_cannot_be_downloaded_says_what_to_do(monkeypatch):
    def unreachable(**_):
        raise Exception("URL fetch failure")

    monkeypatch.delenv("DEEP_RANKING_WEIGHTS", raising=False)
    made = keras.applications.MobileNetV2
    monkeypatch.setattr(
        keras.applications, "MobileNetV2", lambda **how: unreachable() if how["weights"] else made(**how)
    )
    with pytest.raises(
        DeepRankingError, match=r"not be downloaded; name a file .* DEEP_RANKING_WEIGHTS; or use a model"
    ):
        dr.load()


def test_pretrained_weights_of_the_real_file(shared, monkeypatch):
    file = next(iter(Path(shared, "weights").glob("mobilenet_v2_1.0_224_no_top*")), None)
    if file is None:
        pytest.skip("needs MobileNetV2's weights")
    monkeypatch.setenv("DEEP_RANKING_WEIGHTS", str(file))
    image = RNG.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    found = dr.load(engine="keras").encode(image)[0]
    plain = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(224, 224, 3), pooling="avg"
    )
    plain.load_weights(file)
    expected = np.asarray(plain(image[None] / np.float32(127.5) - 1))[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)
