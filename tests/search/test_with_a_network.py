"""The commands with a real network, as small as one gets."""

import json

import numpy as np
import pytest
from PIL import Image
from samples import write_image

from deep_ranking.cli import main


@pytest.fixture
def model(tmp_path):
    import keras

    from deep_ranking.network.file import save_network
    from deep_ranking.network.network import NetworkSettings, build_network

    def make(name: str, seed: int) -> str:
        keras.utils.set_random_seed(seed)
        settings = NetworkSettings(backbone="simple", image_size=32, embedding_size=8, low_resolution="none")
        save_network(build_network(settings), tmp_path / name, {})
        return str(tmp_path / name)

    return make


def test_index_and_search_agree_with_similarity(tmp_path, model, capsys):
    for i in range(7):
        write_image(tmp_path / "images" / f"{i}.png", str(i))
    (tmp_path / "images/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    write_image(tmp_path / "query.png", "query")
    one, index = model("one.h5", 0), str(tmp_path / "index")

    def run(*arguments):
        assert main([*arguments, "--quiet", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    result = run("index", "--model", one, "--images", str(tmp_path / "images"), "--index", index)
    assert (result["embedded"], list(result["skipped"])) == (7, ["broken.png"])
    hits = run("search", "--index", index, "--image", str(tmp_path / "query.png"))["hits"]
    assert len(hits) == 7
    for hit in hits[::3]:
        images = ("--image1", str(tmp_path / "query.png"), "--image2", str(tmp_path / "images" / hit["path"]))
        assert run("similarity", "--model", one, *images)["distance"] == pytest.approx(
            hit["distance"], abs=1e-5
        )
    assert np.all(np.diff([hit["distance"] for hit in hits]) >= 0)

    other = model("other.h5", 1)
    assert main(["index", "--model", other, "--index", index, "--quiet"]) == 1
    assert "their distances cannot be compared" in capsys.readouterr().err
    assert main(["search", "--model", other, "--index", index, "--image", str(tmp_path / "query.png")]) == 1
    assert "their distances cannot be compared" in capsys.readouterr().err


def test_similarity_decodes_each_image_once(tmp_path, model, capsys, monkeypatch):
    from deep_ranking.images import decode

    decoded, pixels = [], decode._pixels
    monkeypatch.setattr(decode, "_pixels", lambda image: decoded.append(image.filename) or pixels(image))
    images = []
    for number in (1, 2):
        path = tmp_path / f"{number}.png"
        write_image(path, str(number))
        images += [f"--image{number}", str(path)]
    assert main(["similarity", "--model", model("one.h5", 0), *images]) == 0
    assert decoded == images[1::2]
    capsys.readouterr()


@pytest.mark.parametrize("content", [b"no image", b"\x89PNG\r\n\x1a\nbroken"])
def test_similarity_says_what_is_no_image_before_it_looks_for_the_model(tmp_path, capsys, content):
    write_image(tmp_path / "1.png", "1")
    (tmp_path / "2.png").write_bytes(content)
    images = ["--image1", str(tmp_path / "1.png"), "--image2", str(tmp_path / "2.png")]
    assert main(["similarity", "--model", "missing.h5", *images]) == 1
    assert "2.png: cannot be read as an image" in capsys.readouterr().err


@pytest.mark.long
def test_one_command_from_a_folder_to_the_nearest_images_by_the_pretrained_network(shared, tmp_path, run):
    weights = shared / "weights/mobilenet_v2_1.0_224_no_top.weights.h5"
    rng = np.random.default_rng(5)
    for i in range(5):
        pixels = rng.integers(0, 256, (6, 9, 3), np.uint8)
        for name, side in ((f"photos/{i}.jpg", 240), (f"{i}.jpg", 200)):
            (tmp_path / "photos").mkdir(exist_ok=True)
            Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(tmp_path / name)
    done = run("search", "photos", "3.jpg", "--top", 2, "--weights", weights)
    assert done.returncode == 0, done.stderr
    assert "photos: no index yet; making photos.index\n" in done.stderr
    first, second = done.stdout.splitlines()
    assert first.endswith("  3.jpg")
    assert float(first.split()[0]) < 0.3 < float(second.split()[0])
    (tmp_path / "text.h5").write_text("no weights")
    for asked, message in (("none.h5", "found no such file"), ("text.h5", "found text")):
        done = run("similarity", "1.jpg", "2.jpg", "--weights", asked, fresh=True)
        assert done.stderr.startswith(
            f"deep-ranking similarity: error: --weights {asked}: expected a file of"
        )
        assert message in done.stderr
