"""The generator beside Keras's own: the same draws, and the same image made of them."""

import numpy as np
import pytest

from deep_ranking import ImageDataGenerator
from deep_ranking.errors import DeepRankingError

pytest.importorskip("scipy", reason="Keras's generator turns images by SciPy")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

IMAGE = np.random.default_rng(0).integers(0, 256, (15, 15, 3)).astype(np.float32)
ALL = {
    "rotation_range": 40,
    "width_shift_range": 0.2,
    "height_shift_range": 0.3,
    "shear_range": 25.0,
    "zoom_range": (0.6, 1.7),
    "channel_shift_range": 60.0,
    "horizontal_flip": True,
    "vertical_flip": True,
    "brightness_range": (0.4, 1.6),
}
FORMS = [
    *({name: value} for name, value in ALL.items()),
    *({"rotation_range": 90, "fill_mode": mode, "cval": 77} for mode in ("reflect", "wrap", "constant")),
    {"zoom_range": 0.4, "fill_mode": "wrap"},
    {"zoom_range": [2, 5], "fill_mode": "reflect"},  # farther out than the image is wide
    {"zoom_range": (2.5, 3.5), "fill_mode": "wrap"},
    {"width_shift_range": 4, "fill_mode": "constant"},
    {"height_shift_range": [1, 3], "fill_mode": "constant"},
    {"height_shift_range": 2.5},
    {"rescale": 1 / 255},
    {"rescale": 1 / 255, "preprocessing_function": lambda image: image - image.mean(), **ALL},
    {"samplewise_center": True, "samplewise_std_normalization": True},
    {"data_format": "channels_first", "rescale": 0.5, **ALL},
    {"dtype": "float16", "rescale": 0.01},
]


def of_keras(**settings):
    from keras.src.legacy.preprocessing.image import ImageDataGenerator as OfKeras

    return OfKeras(**settings)


@pytest.mark.parametrize("settings", FORMS, ids=lambda settings: "-".join(settings))
def test_each_argument_does_what_keras_does(settings):
    own, theirs = ImageDataGenerator(**settings), of_keras(**settings)
    first = settings.get("data_format") == "channels_first"
    moved = varied = False
    for seed in range(6):
        image = IMAGE.transpose(2, 0, 1) if first else IMAGE
        how = theirs.get_random_transform(image.shape, seed=seed)
        drawn = own.draw(np.random.RandomState(seed), IMAGE.shape[:2])
        assert {name: drawn[name] for name in how} == how
        # Theirs moves sideways by the height's range; told the other way round it does what ours does.
        how["tx"], how["ty"] = how["ty"], how["tx"]
        if first:  # Keras's own brightness takes channels last alone
            how = {name: value for name, value in how.items() if name != "brightness"}
            drawn["brightness"] = None
        expected = theirs.standardize(theirs.apply_transform(image.astype(theirs.dtype), how))
        made = own.apply_transform(IMAGE, drawn)
        made = own.standardize(made.transpose(2, 0, 1) if first else made)
        moved |= not np.array_equal(made, image)
        varied |= made.dtype == np.float32
        np.testing.assert_allclose(made, expected, atol=2e-3 * max(1.0, np.abs(expected).max() / 10))
    assert moved
    assert varied


def test_shifts_go_along_their_sides_about_the_middle_of_any_image():
    """Keras's legacy generator (3.15) moves columns by the height's range, and turns about another point."""
    image = np.zeros((9, 15, 3), np.float32)
    image[4, 7] = 255
    generator = ImageDataGenerator(height_shift_range=[2], fill_mode="constant")
    how = generator.draw(np.random.RandomState(0), (9, 15))
    assert np.argwhere(generator.apply_transform(image, how)[..., 0]).tolist() == [[4 - how["tx"], 7]]
    for turned in ({"theta": 33.0}, {"zx": 0.5, "zy": 2.0}, {"shear": 20.0}):
        found = generator.apply_transform(image, turned)[..., 0]
        assert found[4, 7] == pytest.approx(255)  # the middle stays
    wide = np.arange(9 * 15 * 3, dtype=np.float32).reshape(9, 15, 3)
    half = ImageDataGenerator().apply_transform(wide, {"theta": 180.0})
    np.testing.assert_allclose(half, wide[::-1, ::-1], atol=1e-3)


def test_contrast_is_a_factor_about_the_mean_and_what_is_gone_says_so():
    generator = ImageDataGenerator(contrast_range=(0, 0))
    made = generator.apply_transform(IMAGE, generator.draw(np.random.RandomState(0), (15, 15)))
    assert np.ptp(made) == 0
    assert made.mean() == pytest.approx(IMAGE.mean(), abs=2)
    for name in ("featurewise_center", "zca_whitening", "validation_split"):
        with pytest.raises(DeepRankingError, match=f"{name}: leave it out; "):
            ImageDataGenerator(**{name: 0.5})
    for bad in ({"zoom_range": 1}, {"brightness_range": 0.5}, {"shear_range": -1}, {"fill_mode": "edge"}):
        with pytest.raises(DeepRankingError, match=next(iter(bad))):
            ImageDataGenerator(**bad)
