"""Backbones of KerasHub, small ones with random weights, from folders that `save_to_preset` wrote."""

import shutil
import sys

import keras
import numpy as np
import presets
import pytest
from stripes import draw_stripes

import deep_ranking
from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.network.file import load_network, save_network
from deep_ranking.network.hub import add_adapters, build_hub, check_named
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.weights import load_weights

keras_hub = pytest.importorskip("keras_hub", reason="the extra hub is not installed")

# What Swin's own layers say of a mask that they do read.
pytestmark = pytest.mark.filterwarnings("ignore:Layer 'attn' .* was passed an input with a mask")

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
QUICK = ("dinov2", "densenet")
REFUSED = {"swin": "model.xml", "mobilenet": "model.onnx", "hgnetv2": "model.onnx"}
"""What is not written of which: Swin's mask is made by an operation that OpenVINO does not know, and a
convolution by groups is a compiled function of TensorFlow's, which the writer of ONNX leaves as it is."""
CLASS_TOKEN = ("dinov2", "dinov3", "vit", "deit", "clip", "metaclip_2")


@pytest.fixture(scope="module")
def preset(request, tmp_path_factory):
    return presets.make(request.param, tmp_path_factory.mktemp("presets") / request.param)


def on_each_family(*quick):
    """Ask it of every family of KerasHub, and at every change of these."""
    families = [
        pytest.param(name, marks=[pytest.mark.long] * (name not in quick)) for name in presets.FAMILIES
    ]
    return pytest.mark.parametrize("preset", families, indirect=True)


def of(folder, **changes):
    changes = {"image_size": 32, "embedding_size": 0, "low_resolution": "none", **changes}
    settings = NetworkSettings(f"hub:{folder}", **changes)
    network = build_network(settings)
    load_weights(network, settings, "imagenet")
    return network


def theirs(folder, images=IMAGES, **changes):
    """What KerasHub's own backbone gives for what its own converter gives: the last map, or the tokens."""
    whole = keras_hub.models.Backbone.from_preset(str(folder), **changes)
    model = getattr(whole, "vision_encoder", whole)
    pixels = keras_hub.layers.ImageConverter.from_preset(str(folder))(images)
    found = model(dict.fromkeys(model.input, pixels) if isinstance(model.input, dict) else pixels)
    found = list(found.values())[-1] if isinstance(found, dict) else found
    return np.asarray(getattr(whole, "vision_post_layer_norm", lambda same: same)(found))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def described(x, name):
    if x.ndim != 3:
        return unit(x.mean(axis=(1, 2)) if x.ndim == 4 else x)
    return unit(x[:, 0] if name in CLASS_TOKEN else x.mean(axis=1))


FRESH = """
import os, sys, keras_hub, keras, numpy as np
os.chdir(sys.argv[1])
for name in sys.argv[2:]:
    model = keras.models.load_model(f"{name}.keras")
    np.save(f"{name}.found.npy", np.asarray(model(np.load("images.npy"))))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each family's network after a step of training, as a file, and what it gives."""
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "images.npy", IMAGES)
    draw_stripes(folder / "photos", 1)
    return folder


def learn(network, steps=1, images=IMAGES, rate=0.1):
    network.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    targets = np.eye(len(images), network.output_shape[-1], dtype=np.float32)
    for _ in range(steps):
        network.train_on_batch(images, targets)


@pytest.fixture
def learned(preset, folder):
    """Give the file of a network that has learned a step; its embeddings lie beside it, in a .npy."""
    path = folder / f"{preset.name}.keras"
    if not path.exists():
        network = of(preset)
        learn(network)
        np.save(path.with_suffix(".npy"), np.asarray(network(IMAGES)))
        save_network(network, path, {})
    return path


@on_each_family(*QUICK)
def test_it_gives_what_kerashub_gives_learns_and_comes_back(preset, learned):
    found = np.asarray(of(preset)(IMAGES))
    np.testing.assert_allclose(found, described(theirs(preset), preset.name), atol=1e-5)
    loaded, _ = load_network(learned)
    vectors = np.load(learned.with_suffix(".npy"))
    np.testing.assert_allclose(np.asarray(loaded(IMAGES)), vectors, atol=1e-6)
    assert not np.array_equal(vectors, found)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="converters read TensorFlow's graphs")
@on_each_family(QUICK[0])
def test_it_is_indexed_and_exported(preset, learned, folder, tmp_path):
    refused = REFUSED.get(preset.name)
    engine = "auto" if refused == "model.xml" else "openvino"
    model = deep_ranking.load(learned, engine=engine)
    vectors = np.load(learned.with_suffix(".npy"))
    np.testing.assert_allclose(model.embed_pixels(IMAGES), vectors, atol=1e-5)
    index = deep_ranking.Index.from_folder(folder / "photos", model, tmp_path / "photos.index", quiet=True)
    wanted, _ = model.embed([str(folder / "photos/down/0.png")])
    hit = index.search(wanted[0], k=1)[0]
    assert hit.path.endswith("down/0.png")
    assert hit.distance < 1e-3
    for name in ["model.xml"] if preset.name in QUICK else ["model.xml", "model.onnx"]:
        if name != refused:
            assert model.export(tmp_path / name) > 0.9999
        else:
            with pytest.raises(DeepRankingError, match=r"cannot be converted .*; nothing was written"):
                model.export(tmp_path / name)


@pytest.mark.parametrize("preset", QUICK[:1], indirect=True)
def test_a_fresh_process_without_this_project_gives_the_same(learned, folder, run):
    names = [path.stem for path in folder.glob("*.keras")]
    assert learned.stem in names
    done = run("-c", FRESH, folder, *names)
    assert done.returncode == 0, done.stderr
    for name in names:
        np.testing.assert_allclose(
            np.load(folder / f"{name}.found.npy"), np.load(folder / f"{name}.npy"), atol=1e-6
        )


def test_positions_of_dinov2_are_saved_whichever_way_they_changed(tmp_path):
    network = of(presets.make("dinov2", tmp_path / "preset"))
    table = next(weight for weight in network.weights if "interpolated_position" in weight.name)
    start = np.asarray(table).copy()
    for sign in (-1, 1):
        table.assign(start + sign * np.random.default_rng(0).uniform(0, 1, table.shape))
        save_network(network, tmp_path / "model.keras", {})
        loaded, _ = load_network(tmp_path / "model.keras")
        np.testing.assert_allclose(np.asarray(loaded(IMAGES)), np.asarray(network(IMAGES)), atol=1e-6)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return presets.make("vit", tmp_path_factory.mktemp("one") / "vit")


def test_adapters_change_linear_layers_by_a_low_rank_and_are_saved_in_them(vit, tmp_path):
    plain, network = of(vit), of(vit)
    add_adapters(network, 1)
    np.testing.assert_allclose(np.asarray(network(IMAGES)), np.asarray(plain(IMAGES)), atol=1e-6)
    assert {weight.name for weight in network.trainable_weights} == {"lora_kernel_a", "lora_kernel_b"}
    learn(network, steps=2)  # in the first, the factor after the one that is 0 gets no gradient
    save_network(network, tmp_path / "model.keras", {})
    loaded, _ = load_network(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(loaded(IMAGES)), np.asarray(network(IMAGES)), atol=1e-6)
    assert [w.path.split("/", 1)[1] for w in loaded.weights] == [
        w.path.split("/", 1)[1] for w in plain.weights
    ]
    changed = 0
    for before, after in zip(plain.weights, loaded.weights, strict=True):
        difference = np.asarray(after) - np.asarray(before)
        if np.abs(difference).max() > 1e-7:
            changed += 1
            assert before.name == "kernel"
            values = np.linalg.svd(difference.reshape(-1, difference.shape[-1]), compute_uv=False)
            assert values[1] < 1e-3 * values[0]
    assert changed >= 6


@pytest.mark.long
def test_dinov2_small_as_it_is(tmp_path, monkeypatch):
    """The true architecture, at 224 pixels, its positions of 518: 21.7 million weights, some seconds."""
    small = {"num_layers": 12, "hidden_dim": 384, "num_heads": 6, "intermediate_dim": 1536, "patch_size": 14}
    build = lambda m: m.DINOV2Backbone(image_shape=(224, 224, 3), **small)  # noqa: E731
    monkeypatch.setitem(presets.FAMILIES, "dinov2_small", build)
    folder = presets.make("dinov2_small", tmp_path / "dinov2_small", 224)
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
    network = of(folder, image_size=224)
    positions = 257 * 384  # twice: KerasHub has 1370 of each, and a token that is not read
    assert network.count_params() == 22_582_656 - 2 * 1370 * 384 + 2 * positions - 384
    found = np.asarray(network(images))
    np.testing.assert_allclose(found, unit(theirs(folder, images)[:, 0]), atol=1e-5)
    add_adapters(network, 8)
    assert sum(np.prod(weight.shape) for weight in network.trainable_weights) < 1_600_000
    learn(network, 2, images, rate=10.0)
    learned = np.asarray(network(images))
    assert np.abs(learned - found).max() > 1e-4
    save_network(network, tmp_path / "model.keras", {})
    loaded, _ = load_network(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(loaded(images)), learned, atol=1e-5)


def test_adapters_need_linear_layers(tmp_path):
    network = of(presets.make("densenet", tmp_path / "densenet"))
    with pytest.raises(DeepRankingError, match="lora: expected a transformer"):
        add_adapters(network, 2)


def test_tokens(vit):
    tokens = theirs(vit)
    expected = {
        "class": unit(tokens[:, 0]),
        "mean": unit(tokens[:, 1:].mean(axis=1)),
        "patches": unit(tokens[:, 1:].reshape(2, -1)),
    }
    for name, vectors in expected.items():
        np.testing.assert_allclose(np.asarray(of(vit, tokens=name)(IMAGES)), vectors, atol=1e-5)


def test_another_size_interpolates_the_positions(vit):
    large, small = (build_hub(str(vit), size, trained=True) for size in (64, 32))
    tables = [
        next(np.asarray(w) for w in network.weights if "position_embedding" in w.path)
        for network in (large, small)
    ]
    assert [table.shape[-2] for table in tables] == [65, 17]
    np.testing.assert_array_equal(tables[0].reshape(65, -1)[0], tables[1].reshape(17, -1)[0])
    means = [table.reshape(-1, 8)[1:].mean(axis=0) for table in tables]
    np.testing.assert_allclose(*means, atol=2e-3)


@pytest.mark.parametrize("antialias", [False, pytest.param(True, marks=pytest.mark.long)])
def test_another_size_of_dinov2_is_interpolated_as_kerashub_does(tmp_path, monkeypatch, antialias):
    large = {**presets.DINO, "image_shape": (64, 64, 3), "position_embedding_shape": (64, 64, 3)}
    large["antialias_in_interpolation"] = antialias
    monkeypatch.setitem(presets.FAMILIES, "dinov2", lambda m: m.DINOV2Backbone(**large))
    folder = presets.make("dinov2", tmp_path / "preset")
    tokens = theirs(folder, image_shape=(32, 32, 3))
    np.testing.assert_allclose(np.asarray(of(folder)(IMAGES)), unit(tokens[:, 0]), atol=1e-5)


def test_a_size_that_patches_do_not_divide_is_resized_as_the_converter_does(vit):
    images = np.random.default_rng(1).uniform(0, 255, (2, 35, 35, 3)).astype(np.float32)
    vectors = np.asarray(of(vit, image_size=35)(images))
    np.testing.assert_allclose(vectors, unit(theirs(vit, images)[:, 0]), atol=1e-5)


def test_what_is_no_image_preset_is_told(tmp_path, vit):
    with pytest.raises(DeepRankingError, match="expected a preset of KerasHub"):
        build_hub(str(tmp_path), 32)
    with pytest.raises(DeepRankingError, match=r"Unknown preset identifier.* give a folder"):
        build_hub("no_such_preset", 32)
    weightless = shutil.copytree(vit, tmp_path / "weightless")
    (weightless / "model.weights.h5").unlink()
    with pytest.raises(DeepRankingError, match=r"weightless: expected .* doesn't exist"):
        build_hub(str(weightless), 32, trained=True)
    bare = tmp_path / "bare"
    keras_hub.models.Backbone.from_preset(str(vit)).save_to_preset(str(bare))
    with pytest.raises(DeepRankingError, match="its image converter, which tells how it wants pixels"):
        build_hub(str(bare), 32)


def test_tokens_of_what_gives_one_vector(tmp_path):
    folder = presets.make("siglip", tmp_path / "siglip")
    with pytest.raises(DeepRankingError, match="gives one vector; leave it at auto"):
        build_hub(str(folder), 32, "mean")


def test_what_a_file_names_of_kerashub_is_an_image_backbone(vit):
    module = "keras_hub.src.models.vit.vit_"
    sound = {"module": f"{module}backbone", "class_name": "ViTBackbone", "config": {}}
    check_named({"layers": [{**sound, "registered_name": "keras_hub>ViTBackbone"}]}, "a.keras")
    for change in (
        {"class_name": "Backbone"},  # of another module, which is imported there
        {"class_name": "ViTTask"},
        {"class_name": "keras"},
        {"module": "keras_hub.models"},
        {"module": f"{module}image_converter", "class_name": "ViTImageConverter"},
        {"registered_name": "keras_hub>BytePairTokenizer"},
    ):
        with pytest.raises(ValueError, match="which is no image backbone of KerasHub's"):
            check_named([sound, {"deep": [{**sound, **change}]}], "a.keras")


def test_the_missing_extra_is_named(monkeypatch, vit, tmp_path):
    path = tmp_path / "model.keras"
    save_network(of(vit), path, {})
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(MissingExtraError, match=r"deep-ranking\[hub\]"):
        build_hub("vit", 32)
    with pytest.raises(MissingExtraError, match=r"model.keras: a network on .*deep-ranking\[hub\]"):
        load_network(path)
