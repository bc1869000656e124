"""Engines and exported models give what Keras gives."""

import pickle
import zipfile
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from deep_ranking.embedding import Model, engines, runner
from deep_ranking.embedding.export import FORMATS, export
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.network.file import save_network
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.weights import load_weights

pytestmark = [
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="converters read TensorFlow's graphs"),
    pytest.mark.filterwarnings("ignore::FutureWarning:keras", "ignore::DeprecationWarning"),
]
QUICK = ("onnx", "openvino")
"""What is exported at every change; `saved_model` is too, by the tests of what differs."""

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("model") / "model.h5"
    save_network(build_network(NetworkSettings("simple", 32, 8)), path, {})
    return path


def needs_openvino():
    if find_spec("openvino") is None:  # to import it here would bring its telemetry
        pytest.skip("needs the extra 'fast'")


def cosines(a, b):
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def nearest_other(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.argmax(unit @ unit.T - 3 * np.eye(len(unit)), axis=1)


def test_openvino_comes_without_its_telemetry(run, model):
    needs_openvino()
    program = (
        "import sys\n"
        "from deep_ranking.embedding import Model\n"
        "from deep_ranking.embedding.export import export\n"
        f"path = {str(model)!r}\n"
        "Model.load(path, 'openvino')\n"
        "export(Model.load(path), path + '.xml', 'openvino')\n"
        "assert 'openvino' in sys.modules\n"
        "print([name for name, module in sys.modules.items() if module and 'openvino_telemetry' in name])"
    )
    done = run("-c", program)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_openvino_agrees_with_keras(model):
    needs_openvino()
    expected = Model.load(model).embed_pixels(IMAGES)
    fast = Model.load(model, engine="openvino")
    for rows in (5, 1, 3):
        found = fast.embed_pixels(IMAGES[:rows])
        assert found.dtype == np.float32
        assert found.flags.owndata, "the next batch must not change this one"
        assert cosines(found, expected[:rows]).min() > 0.9999
    rough = Model.load(model, engine="openvino", precision="bfloat16").embed_pixels(IMAGES)
    assert cosines(rough, expected).min() > 0.999


@pytest.mark.long
@pytest.mark.real
def test_number_types_of_the_pretrained_network_are_as_the_documents_say(true_weights, shared):
    """Random weights hide it: what docs/search.md says of bfloat16 is true of trained ones alone."""
    with zipfile.ZipFile(shared / "data/human-triplets-development.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[::16]
        images = [archive.read(name) for name in names]
    expected = Model.pretrained("keras").encode(images[::10])
    exact, rough = (
        Model.pretrained("openvino", precision).encode(images) for precision in ("float32", "bfloat16")
    )
    assert cosines(exact[::10], expected).min() > 0.9999
    alike = cosines(rough, exact)
    assert alike.min() > 0.97
    if runner.multiplies_bfloat16():
        assert 0.995 < np.median(alike) < 0.9995
        assert 0.05 < np.mean(nearest_other(exact) != nearest_other(rough)) < 0.2


def test_auto_takes_what_suits_the_machine(model, monkeypatch, caplog):
    needs_openvino()
    monkeypatch.setattr(engines, "has_accelerator", lambda: False)
    expected = Model.load(model).embed_pixels(IMAGES)
    for bfloat16, precision, least in ((True, "bfloat16", 0.999), (False, "float32", 0.9999)):
        monkeypatch.setattr(engines, "multiplies_bfloat16", lambda has=bfloat16: has)
        assert engines.resolve("auto", "auto") == ("openvino", precision)
        assert engines.resolve("keras", "auto") == ("keras", "float32")
        found = Model.load(model, "auto", "auto").embed_pixels(IMAGES)
        assert cosines(found, expected).min() > least

    def fails(*_):
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(engines, "OpenVINOEngine", fails)
    np.testing.assert_array_equal(Model.load(model, "auto").embed_pixels(IMAGES), expected)
    ours = [
        record for record in caplog.records if record.name.startswith("deep_ranking")
    ]  # TensorFlow counts calls
    assert [record.getMessage() for record in ours] == [
        "OpenVINO does not take this network (no such operation); Keras runs it"
    ]
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert engines.resolve("auto", "auto") == ("keras", "float32")
    monkeypatch.setattr(engines, "find_spec", lambda name: name)
    monkeypatch.setattr(engines, "has_accelerator", lambda: True)
    assert engines.resolve("auto", "auto") == ("keras", "float32")


@pytest.mark.long
def test_openvino_agrees_with_keras_on_real_weights_and_images(shared, tmp_path):
    needs_openvino()
    settings = NetworkSettings("mobilenetv2", 96, 0, low_resolution="none")
    network = build_network(settings)
    load_weights(network, settings, str(shared / "weights/mobilenet_v2_1.0_224_no_top.weights.h5"))
    save_network(network, tmp_path / "model.keras", {})
    x, y = np.mgrid[:96, :96]
    images = (
        np.stack([(x * i + y * 2) % 256 for i in (1, 3, 5)], axis=0)[..., None].repeat(3, -1).astype(np.uint8)
    )
    expected, found = (
        Model.load(tmp_path / "model.keras", engine=engine).embed_pixels(images)
        for engine in ("keras", "openvino")
    )
    assert cosines(found, expected).min() > 0.9999


@pytest.mark.parametrize(
    "format", [pytest.param(name, marks=[pytest.mark.long] * (name not in QUICK)) for name in FORMATS]
)
def test_every_export_is_written_and_checked(model, tmp_path, format):
    ending = FORMATS[format][0]
    path = tmp_path / f"exported{ending}"
    assert export(Model.load(model), path, format) > 0.9999
    assert path.exists()
    assert not list(tmp_path.glob(".*"))
    if format == "openvino":
        assert path.with_suffix(".bin").exists()


def test_an_export_that_differs_is_not_written(model, tmp_path, monkeypatch):
    ending, name, run = FORMATS["saved_model"]
    monkeypatch.setitem(
        FORMATS, "saved_model", (ending, name, lambda path, images: -np.asarray(run(path, images)))
    )
    with pytest.raises(DeepRankingError, match=r"differs from the model \(cosine -1\.0"):
        export(Model.load(model), tmp_path / "exported", "saved_model")
    assert not list(tmp_path.iterdir())


def test_the_check_of_an_export_does_not_depend_on_length(tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
    assert export(Model(model), tmp_path / "long", "saved_model") == pytest.approx(1, abs=1e-5)
    monkeypatch.setitem(FORMATS, "saved_model", ("", "tf_saved_model", lambda *_: np.ones((3, 4))))
    with pytest.raises(DeepRankingError, match="differs from the model"):
        export(Model(model), tmp_path / "other", "saved_model")


def test_what_cannot_be_exported_is_said(model, tmp_path):
    embedder = Model.load(model)
    with pytest.raises(
        DeepRankingError, match="expected one of onnx, openvino, litert, saved_model, found 'pickle'"
    ):
        export(embedder, tmp_path / "x", "pickle")
    with pytest.raises(DeepRankingError, match=r"expected a name that ends in \.onnx"):
        export(embedder, tmp_path / "x.h5", "onnx")
    (tmp_path / "there").mkdir()
    with pytest.raises(DeepRankingError, match="is there already"):
        export(embedder, tmp_path / "there", "saved_model")


def test_what_no_engine_has_is_said(model, monkeypatch):
    with pytest.raises(DeepRankingError, match="expected auto, keras or openvino, found 'torch'"):
        Model.load(model, engine="torch")
    with pytest.raises(DeepRankingError, match="--engine openvino has bfloat16"):
        Model.load(model, precision="bfloat16")
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deep-ranking\[fast\]'"):
        Model.load(model, engine="openvino")


def test_a_model_that_gives_no_numbers_is_told_and_no_vector(model):
    spoiled = Model.load(model)
    for weight in spoiled.network.trainable_variables:
        weight.assign(weight * np.inf)
    for ask in (lambda: spoiled.encode(IMAGES[0]), lambda: spoiled.distance(IMAGES[0], IMAGES[1])):
        with pytest.raises(DeepRankingError, match="the model gives NaN or infinity"):
            ask()


@pytest.mark.parametrize("engine", ["keras", "openvino", pytest.param("auto", marks=pytest.mark.long)])
def test_a_model_goes_to_another_process_by_pickle(model, engine):
    if engine != "keras":
        needs_openvino()
    loaded = Model.load(model, engine)
    expected = loaded.embed_pixels(IMAGES)  # what cannot be pickled is made by now
    again = pickle.loads(pickle.dumps(loaded))
    assert again.fingerprint == loaded.fingerprint
    np.testing.assert_allclose(again.embed_pixels(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("engine", "asked"),
    [
        ("keras", ["first.encode(image)", "dr.Model.load(path)"]),
        ("openvino", ["first.encode(image)"]),
    ],
)
def test_a_process_forked_after_a_model_has_run_refuses_and_does_not_hang(run, model, engine, asked):
    if engine != "keras":
        needs_openvino()
    program = (
        "import os, signal\n"
        "import numpy as np\n"
        "import deep_ranking as dr\n"
        f"path, image = {str(model)!r}, np.zeros((32, 32, 3), np.uint8)\n"
        f"first = dr.load(path, engine={engine!r})\n"
        "first.encode(image)\n"
        f"for again in {asked!r}:\n"
        "    if os.fork() == 0:\n"
        "        signal.alarm(60)\n"
        "        try:\n"
        "            eval(again)\n"
        "        except dr.DeepRankingError as error:\n"
        "            print(error, flush=True)\n"
        "        finally:\n"
        "            os._exit(0)\n"
        "    print(os.wait()[1], first.encode(image).shape, flush=True)\n"
    )
    done = run("-c", program)
    for told in done.stdout.split("0 (1, 8)\n", len(asked))[:-1]:
        assert "get_context('spawn')" in told, done.stderr
    assert done.stdout.count("0 (1, 8)\n") == len(asked)
    assert done.stdout.endswith("0 (1, 8)\n")
