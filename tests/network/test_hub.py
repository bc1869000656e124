"""Backbones of KerasHub, small ones with random weights, from folders that `save_to_preset` wrote."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.network.file import ModelFileError, load_network, save_network
from deep_ranking.network.hub import build_hub
from deep_ranking.network.network import NetworkSettings, build_network
from deep_ranking.network.weights import load_weights

keras_hub = pytest.importorskip("keras_hub", reason="the extra hub is not installed")

VIT = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "image_shape": (32, 32, 3), "patch_size": 8}
DINO = {**VIT, "intermediate_dim": 16, "num_register_tokens": 2}
SIGLIP = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
_ER = {"block_types": "er", "num_blocks": 1, "num_filters": 8, "strides": 2, "act_layers": "relu"}
_ER |= {"exp_ratios": 2.0, "se_ratios": 0.0, "exp_kernel_sizes": 3, "pw_kernel_sizes": 1, "use_cpe": False}
_ER |= dict.fromkeys(["dw_kernel_sizes", "dw_start_kernel_sizes", "dw_end_kernel_sizes"], 0)
_ER |= dict.fromkeys(["num_heads", "key_dims", "value_dims", "kv_strides"], 0)


def _siglip():
    models = keras_hub.models
    vision = models.SigLIPVisionEncoder(patch_size=8, image_shape=(32, 32, 3), **SIGLIP)
    text = models.SigLIPTextEncoder(
        vocabulary_size=10, embedding_dim=8, max_sequence_length=4, projection_dim=8, **SIGLIP
    )
    return models.SigLIPBackbone(vision, text)


FAMILIES = {
    "dinov2": lambda m: m.DINOV2Backbone(**DINO, position_embedding_shape=(64, 64, 3)),
    "dinov3": lambda m: m.DINOV3Backbone(**DINO),
    "vit": lambda m: m.ViTBackbone(**VIT, mlp_dim=16),
    "deit": lambda m: m.DeiTBackbone(**VIT, intermediate_dim=16),
    "siglip": lambda m: _siglip(),
    "resnet": lambda m: m.ResNetBackbone([64], [7], [64], [1], [1], "basic_block"),
    "efficientnet": lambda m: m.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 1],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25],
        stackwise_strides=[2, 2],
        stackwise_block_types=["fused", "unfused"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        width_coefficient=1.0,
        depth_coefficient=1.0,
        num_features=16,
    ),
    "mobilenetv5": lambda m: m.MobileNetV5Backbone(
        **{f"stackwise_{name}": [value if name == "num_blocks" else [value]] for name, value in _ER.items()},
        use_msfa=False,
    ),
    "densenet": lambda m: m.DenseNetBackbone([1, 1], growth_rate=4),
    "swin": lambda m: m.SwinTransformerBackbone(
        image_shape=(32, 32, 3), patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
    ),
    "mit": lambda m: m.MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.0,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        image_shape=(32, 32, 3),
        hidden_dims=[8, 16],
    ),
    "vgg": lambda m: m.VGGBackbone([1, 1], [8, 16], image_shape=(32, 32, 3)),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, 0.0, 0.5]


NOT_YET = {"dinov2", "siglip", "efficientnet"}
"""Do not come back as they were (dinov2), or are not compared rightly here; see docs/backbones.md."""


@pytest.fixture(scope="module", params=[name for name in FAMILIES if name not in NOT_YET])
def preset(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp("presets") / request.param)


def make(family, folder, size=32):
    keras.utils.set_random_seed(0)
    backbone = FAMILIES[family](keras_hub.models)
    backbone.save_to_preset(str(folder))
    converter = next(
        cls for cls in vars(keras_hub.layers).values() if getattr(cls, "backbone_cls", None) is type(backbone)
    )
    converter(image_size=(size, size), scale=SCALE, offset=OFFSET).save_to_preset(str(folder))
    return folder


def of(folder, **changes):
    changes = {"image_size": 32, "embedding_size": 0, "low_resolution": "none", **changes}
    settings = NetworkSettings(f"hub:{folder}", **changes)
    network = build_network(settings)
    load_weights(network, settings, "imagenet")
    return network


def theirs(folder, images=IMAGES):
    """What KerasHub's own backbone gives for what its own converter gives: the last map, or the tokens."""
    model = keras_hub.models.Backbone.from_preset(str(folder))
    model = getattr(model, "vision_encoder", model)
    pixels = keras_hub.layers.ImageConverter.from_preset(str(folder))(images)
    return np.asarray(model(dict.fromkeys(model.input, pixels) if isinstance(model.input, dict) else pixels))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def described(x, name):
    if x.ndim == 4:
        return unit(x.mean(axis=(1, 2)))
    return unit(x[:, 0] if name in ("dinov2", "dinov3", "vit", "deit") else x.mean(axis=1))


FRESH = """
import sys, keras_hub, keras, numpy as np
for name in sys.argv[1:]:
    model = keras.models.load_model(f"{name}.keras")
    np.save(f"{name}.found.npy", np.asarray(model(np.load("images.npy"))))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Each family's network after a step of training, as a file, and what it gives."""
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "images.npy", IMAGES)
    return folder


def test_it_gives_what_kerashub_gives_learns_and_comes_back(preset, folder):
    network = of(preset)
    found = np.asarray(network(IMAGES))
    np.testing.assert_allclose(found, described(theirs(preset), preset.name), atol=1e-5)
    network.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=True)
    network.train_on_batch(IMAGES, np.eye(*found.shape, dtype=np.float32))
    learned = np.asarray(network(IMAGES))
    assert not np.array_equal(learned, found)
    path = folder / f"{preset.name}.keras"
    save_network(network, path, {})
    loaded, _ = load_network(path)
    np.testing.assert_allclose(np.asarray(loaded(IMAGES)), learned, atol=1e-6)
    np.save(folder / f"{preset.name}.npy", learned)


def test_a_fresh_process_without_this_project_gives_the_same(folder):
    names = [path.stem for path in folder.glob("*.keras")]
    assert names
    subprocess.run([sys.executable, "-c", FRESH, *names], cwd=folder, check=True, capture_output=True)
    for name in names:
        np.testing.assert_allclose(
            np.load(folder / f"{name}.found.npy"), np.load(folder / f"{name}.npy"), atol=1e-6
        )


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return make("vit", tmp_path_factory.mktemp("one") / "vit")


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
    large, small = (build_hub(f"hub:{vit}", size, trained=True) for size in (64, 32))
    tables = [
        next(np.asarray(w) for w in network.weights if "position_embedding" in w.path)
        for network in (large, small)
    ]
    assert [table.shape[-2] for table in tables] == [65, 17]
    np.testing.assert_array_equal(tables[0].reshape(65, -1)[0], tables[1].reshape(17, -1)[0])
    means = [table.reshape(-1, 8)[1:].mean(axis=0) for table in tables]
    np.testing.assert_allclose(*means, atol=2e-3)


def test_a_size_that_patches_do_not_divide_is_resized_as_the_converter_does(vit):
    images = np.random.default_rng(1).uniform(0, 255, (2, 35, 35, 3)).astype(np.float32)
    vectors = np.asarray(of(vit, image_size=35)(images))
    np.testing.assert_allclose(vectors, unit(theirs(vit, images)[:, 0]), atol=1e-5)


def test_what_is_no_image_preset_is_told(tmp_path, vit):
    with pytest.raises(DeepRankingError, match="expected a preset of KerasHub"):
        build_hub(f"hub:{tmp_path}", 32)
    bare = tmp_path / "bare"
    keras_hub.models.Backbone.from_preset(str(vit)).save_to_preset(str(bare))
    with pytest.raises(DeepRankingError, match="its image converter, which tells how it wants pixels"):
        build_hub(f"hub:{bare}", 32)


def test_a_tokenizer_in_a_file_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    save_network(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), path, {})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    hostile = {"module": "keras_hub.tokenizers", "class_name": "\\u0042ytePairT\\u006fkenizer", "config": {}}
    members["config.json"] = json.dumps(hostile).replace("\\\\u", "\\u").encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ModelFileError, match="a tokenizer of KerasHub's"):
        load_network(path)


def test_the_missing_extra_is_named(monkeypatch, vit, tmp_path):
    path = tmp_path / "model.keras"
    save_network(of(vit), path, {})
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(MissingExtraError, match=r"deep-ranking\[hub\]"):
        build_hub("hub:vit", 32)
