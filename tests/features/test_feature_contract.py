"""What every feature promises, whichever it is."""

import sys

import numpy as np
import pytest
from textures import texture

from deep_ranking.errors import DeepRankingError, MissingExtraError
from deep_ranking.extras.handmade import FEATURES, CodebookFeature

GREY = np.repeat(texture(1)[..., :1], 3, axis=2)
IMAGES = {
    "black": np.zeros((40, 30, 3), np.uint8),
    "white": np.full((40, 30, 3), 255, np.uint8),
    "one pixel": np.array([[[200, 30, 90]]], np.uint8),
    "one row": texture(2, 1, 50),
    "wide": texture(2, 3, 400),
    "grey": GREY,
    "large": texture(3, 700, 500),
    "noise": np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
}


def distance(feature, first, second):
    return float(((feature.compute(first) - feature.compute(second)) ** 2).sum())


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_any_image_becomes_a_finite_vector_of_the_stated_length(feature, image):
    before = image.copy()
    vector = feature.compute(image)
    assert vector.shape == (feature.dimension,)
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_identical_images_are_at_distance_zero(feature, image):
    assert distance(feature, image, image.copy()) == 0


def test_different_images_are_apart(feature):
    vectors = [feature.compute(texture(seed)) for seed in range(4)]
    for i in range(4):
        for j in range(i):
            assert ((vectors[i] - vectors[j]) ** 2).sum() > 1e-3


def test_a_small_change_matters_less_than_another_image(feature):
    image = texture(0)
    noisy = np.clip(image + np.random.default_rng(1).normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    assert distance(feature, image, noisy) < 0.5 * distance(feature, image, texture(1))


def test_an_image_that_is_not_contiguous_gives_the_same(feature):
    turned = np.rot90(texture(0))
    np.testing.assert_array_equal(feature.compute(turned), feature.compute(np.ascontiguousarray(turned)))


def test_a_quarter_turn_is_seen_or_not_as_the_feature_says(feature):
    square = texture(0, 64, 64)
    turned = distance(feature, square, np.rot90(square))
    if feature.name == "color":
        assert turned < 1e-3  # where a colour is does not matter to a histogram
    else:
        assert turned > 0.01


def test_grey_is_not_colour_to_those_that_see_colour(feature):
    image = texture(1)
    grey = np.repeat(np.rint(image @ [0.299, 0.587, 0.114]).astype(np.uint8)[..., None], 3, axis=2)
    apart = distance(feature, image, grey)
    if feature.name in ("color", "wavelet"):
        assert apart > 0.1
    elif feature.name != "hog":  # the strongest channel's gradient counts
        assert apart < 0.05 * distance(feature, image, texture(0))


def test_the_same_seed_gives_the_same_vectors(feature, image_paths):
    again = FEATURES[feature.name]()
    if isinstance(again, CodebookFeature):
        again = again.fit(image_paths)
    assert again.fingerprint() == feature.fingerprint()
    np.testing.assert_array_equal(again.compute(texture(5)), feature.compute(texture(5)))


def test_without_the_extra_the_error_names_it(feature, monkeypatch):
    for module in ("skimage.color", "skimage.feature", "pywt"):
        monkeypatch.setitem(sys.modules, module, None)
    if feature.name == "texton":  # SciPy is enough, which scikit-learn brings
        assert feature.compute(texture(0)).any()
        return
    with pytest.raises(MissingExtraError, match=r"deep-ranking\[features\]"):
        feature.compute(texture(0))


@pytest.fixture(params=[name for name, kind in FEATURES.items() if issubclass(kind, CodebookFeature)])
def unfitted(request) -> CodebookFeature:
    return FEATURES[request.param]()


def test_a_codebook_is_needed_first(unfitted):
    with pytest.raises(DeepRankingError, match="no codebook yet"):
        unfitted.compute(texture(0))


def test_no_image_makes_no_codebook(unfitted):
    with pytest.raises(DeepRankingError, match="found none"):
        unfitted.fit([])


def test_another_seed_is_another_codebook(unfitted, fitted, image_paths):
    one, other = fitted(type(unfitted)), type(unfitted)(seed=1).fit(image_paths)
    assert one.fingerprint() != other.fingerprint()
    assert (one.compute(texture(0)) != other.compute(texture(0))).any()


def test_black_images_alone_still_make_a_codebook(unfitted, tmp_path):
    from PIL import Image

    Image.new("RGB", (20, 20)).save(tmp_path / "black.png")
    fitted = unfitted.fit([tmp_path / "black.png"])
    for image in (IMAGES["black"], texture(0)):
        assert np.isfinite(fitted.compute(image)).all()


def test_a_codebook_comes_back_from_its_file(unfitted, fitted, tmp_path):
    fitted = fitted(type(unfitted))
    fitted.save(tmp_path / "codebook.npz")
    back = unfitted.load(tmp_path / "codebook.npz")
    assert back.fingerprint() == fitted.fingerprint()
    np.testing.assert_array_equal(back.compute(texture(9)), fitted.compute(texture(9)))
    with pytest.raises(DeepRankingError, match="other settings"):
        type(unfitted)(seed=7).load(tmp_path / "codebook.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_a_file_that_is_no_codebook_is_an_error_that_names_it(unfitted, content, tmp_path):
    (tmp_path / "codebook.npz").write_bytes(content)
    with pytest.raises(DeepRankingError, match=r"codebook\.npz: expected an \.npz file"):
        unfitted.load(tmp_path / "codebook.npz")


def test_the_fingerprint_follows_the_settings():
    from deep_ranking.extras.handmade import Hog, LabHistogram

    prints = {f.fingerprint() for f in (LabHistogram(), LabHistogram(bins=(4, 10, 9)), Hog(), Hog(cell=32))}
    assert len(prints) == 4
