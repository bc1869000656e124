"""Copies told by their pixels: hashes against a slow transform, orientations, drawn pictures."""

import hashlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from deep_ranking.images import hashes
from deep_ranking.images.agreement import agreement, lit_as, registered
from deep_ranking.images.hashes import (
    LOOK,
    differences,
    hashed,
    kept_looks,
    near_by_hash,
    near_counts,
    turned,
)
from deep_ranking.images.likeness import Likeness
from deep_ranking.search.cache import Caches


def photo(seed, size=(240, 180)):
    """Draw something with as many frequencies as a photo has: blurred noise with edges."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size)
    for cells in (4, 9, 25):
        some = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        image = Image.blend(image, some.resize(size, Image.Resampling.BICUBIC), 0.5)
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, w, h = rng.integers(0, [size[0] - 20, size[1] - 20, 60, 60])
        draw.ellipse((x, y, x + w, y + h), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def screen(words, size=(720, 900)):
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0], 80), fill="#205040")
    draw.text((30, 20), "Messages", fill="white", font_size=36)
    for number, word in enumerate(words):
        draw.rounded_rectangle((20, 120 + 90 * number, 520, 190 + 90 * number), 12, fill="#d0f0c0")
        draw.text((30, 140 + 90 * number), word, fill="black", font_size=26)
    return image


@pytest.fixture
def likeness(tmp_path):
    def make(*images):
        paths = []
        for number, image in enumerate(images):
            paths.append(str(tmp_path / f"{number}.png"))
            image.save(paths[-1])
        return Likeness(paths, [bytes([number]) * 32 for number in range(len(paths))], quiet=True)

    return make


def test_the_hash_is_the_signs_of_the_cosine_transform():
    grey = np.random.default_rng(0).integers(0, 256, (64, 64))
    small = np.array(
        [[grey[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(32)] for y in range(32)]
    )
    signs = np.zeros((16, 16), bool)
    for row in range(16):
        for column in range(16):
            waves = [np.cos(np.pi * (np.arange(32) + 0.5) * k / 32) for k in (row, column)]
            signs[row, column] = (small * waves[0][:, None] * waves[1]).sum() > 0
    signs[0, 0] = False
    assert hashed(grey).tolist() == np.packbits(signs).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_one_hash_tells_all_eight_orientations(seed):
    grey = np.random.default_rng(seed).integers(0, 256, (32, 32)).astype(np.uint8)
    found = turned(hashed(grey)[None])[:, 0]
    orientations = [
        some[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
        for turn in range(8)
        for some in [grey.T if turn & 4 else grey]
    ]
    assert found.tolist() == [hashed(some).tolist() for some in orientations]
    assert len(np.unique(found, axis=0)) == 8


def test_near_hashes_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    found = np.zeros(40, LOOK)
    found["clear"] = True
    bits = rng.integers(0, 2, (8, 255))[rng.integers(0, 8, 40)] ^ (rng.random((40, 255)) < 0.05)
    found["bits"] = np.packbits(np.insert(bits, 0, 0, axis=1), axis=1)
    pairs = {
        (i, j)
        for i in range(40)
        for j in range(i + 1, 40)
        if min(differences(turned(found["bits"][i : i + 1])[:, 0], found["bits"][j])) <= hashes.WHOLE
    }
    assert set(near_by_hash(found, most=40)) == pairs
    assert near_counts(found).tolist() == [sum(i in pair for pair in pairs) for i in range(40)]
    assert set(near_by_hash(found, most=2)) < pairs


EDITS = {
    "re-saved": [
        lambda im: im.resize((120, 90)),
        lambda im: im.convert("L"),
        lambda im: ImageEnhance.Brightness(im).enhance(1.2),
    ],
    "mirrored or turned": [ImageOps.mirror, lambda im: im.rotate(90, expand=True), lambda im: im.rotate(180)],
    "part of": [
        lambda im: im.crop((20, 10, 225, 170)),
        lambda im: ImageOps.expand(im, 30, "white"),
        lambda im: on_a_page(im),
    ],
}


def on_a_page(image):
    page = screen(["some words", "and others"])
    page.paste(image.resize((480, 360)), (100, 400))
    return page


@pytest.mark.parametrize("why", EDITS)
def test_copies_are_found_and_it_is_said_why(likeness, why):
    for edit in EDITS[why]:
        made = likeness(photo(1), edit(photo(1)), photo(2), edit(photo(2)))
        assert [made.fit(*pair).why for pair in ((0, 1), (2, 3))] == [why, why]
        assert not any(made.fit(*pair) for pair in ((0, 2), (0, 3), (1, 2), (1, 3)))


def test_screens_of_one_program_with_other_text_are_no_copies(likeness):
    screens = [screen([hashlib.sha256(bytes([n, k])).hexdigest()[:24] for k in range(8)]) for n in range(3)]
    made = likeness(*screens, screens[0].resize((540, 675)))
    assert list(near_by_hash(made.found))  # the hash alone takes them for copies
    assert not any(made.fit(*pair) for pair in ((0, 1), (0, 2), (1, 2), (1, 3)))
    assert made.fit(0, 3).why == "re-saved"


def page(seed, size=22):
    """Draw a form: the same lines and head, other words and numbers."""
    image, rng = Image.new("L", (800, 1120), 255), np.random.default_rng(seed)
    draw = ImageDraw.Draw(image)
    draw.text((60, 40), "INVOICE", fill=0, font_size=60)
    for number in range(20):
        y = 160 + 45 * number
        draw.line((50, y, 750, y), fill=0, width=2)
        draw.text((60, y + 8), "".join(rng.choice(list("aeilmnorstu  "), 14)), fill=0, font_size=size)
        draw.text((600, y + 8), f"{rng.integers(10_000) / 100:.2f}", fill=0, font_size=size)
    return image


def test_one_form_with_other_numbers_is_no_copy(likeness, monkeypatch):
    made = likeness(*(page(seed) for seed in range(4)), page(0).resize((700, 980)))
    monkeypatch.setattr("deep_ranking.images.likeness.WHOLE", 255)  # however near their hashes are
    assert not any(made.fit(one, other) for other in range(4) for one in range(other))
    assert made.fit(0, 4).why == "re-saved"


def test_a_large_photo_in_low_quality_is_still_a_copy(likeness, tmp_path):
    large = photo(2).resize((900, 675))
    noise = np.random.default_rng(0).normal(0, 6, (675, 900, 3))  # grain, which is gone at low quality
    made = likeness(Image.fromarray(np.clip(np.asarray(large) + noise, 0, 255).astype(np.uint8)), photo(3))
    Image.open(made.paths[0]).save(made.paths[1], "JPEG", quality=20)
    made = Likeness(made.paths, [b"a" * 32, b"b" * 32], quiet=True)
    assert made.fit(0, 1).why == "re-saved"


def test_what_shows_too_little_is_no_copy(likeness):
    flags = []
    for colours in (("blue", "white", "red"), ("green", "white", "red"), ("navy", "white", "red")):
        flags.append(Image.new("RGB", (90, 60)))
        for number, colour in enumerate(colours):
            flags[-1].paste(colour, (30 * number, 0, 30 * number + 30, 60))
    made = likeness(
        *flags, Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64)), photo(0).resize((18, 18))
    )
    assert not made.found["clear"].any()
    assert list(made.near()) == []
    assert made.fit(0, 2) is None


def test_agreement_is_of_details_not_of_light():
    rng = np.random.default_rng(0)
    picture = np.asarray(photo(3).convert("L").resize((160, 160)), np.float32)
    assert agreement(picture, picture * 0.5 + 40) > 0.99
    assert agreement(picture, rng.permutation(picture)) < 0.3
    assert agreement(np.zeros((80, 80), np.float32), np.ones((80, 80), np.float32)) == -1


def grey_photo(seed, side=160):
    return np.asarray(photo(seed).convert("L").resize((side, side)), np.float32)


def test_agreement_is_of_what_was_brightened_until_it_is_white():
    picture = grey_photo(3)
    assert agreement(picture, np.minimum(255, picture * 2)) > 0.9
    assert agreement(np.minimum(255, picture * 2), picture) > 0.9
    assert agreement(255 - picture, picture) == -1


@pytest.mark.parametrize("seed", range(3))
def test_tones_are_those_of_the_rising_curve_that_fits_best(seed):
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 64, (24, 24)).astype(np.float32) * 4  # levels that the curve tells apart
    other = np.minimum(255, one * rng.uniform(0.5, 2) + rng.normal(0, 40, one.shape)).astype(np.float32)
    pools = [[other[one == level].sum(), np.sum(one == level), 1] for level in np.unique(one)]
    place = 0  # what violates the order is one pool, and so on until nothing does
    while place < len(pools) - 1:
        if pools[place][0] / pools[place][1] > pools[place + 1][0] / pools[place + 1][1]:
            pools[place] = [a + b for a, b in zip(pools[place], pools.pop(place + 1), strict=True)]
            place = max(0, place - 1)
        else:
            place += 1
    curve = np.concatenate([[total / count] * levels for total, count, levels in pools])
    expected = curve[np.searchsorted(np.unique(one), one)]
    np.testing.assert_allclose(lit_as(one, other), expected, rtol=1e-4, atol=1e-3)


def cut_from(picture, side):
    image = Image.fromarray(picture)
    return lambda box: np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, tuple(box)))


@pytest.mark.parametrize("moved", [(1.3, -0.7, 1.3, -0.7), (-1, -1, 1, 1), (0.4, 2, -1.2, 0.5)])
def test_a_box_is_moved_to_where_it_fits_by_fractions_of_a_pixel(moved):
    cut, right = cut_from(grey_photo(5, 320), 120), np.array([60.5, 70.25, 220, 215])
    wanted = np.minimum(255, cut(right) * 1.2 + 10)
    found = registered(wanted, cut, right + moved)
    assert np.abs(found - right).max() < 0.15
    assert agreement(wanted, cut(found)) > 0.97 > agreement(wanted, cut(right + moved))


def test_a_box_that_fits_nowhere_stays():
    start = np.array([60.0, 70, 220, 215])
    there = np.random.default_rng(0).normal(128, 40, (120, 120)).astype(np.float32)
    found = registered(there, cut_from(grey_photo(5, 320), 120), start)
    assert np.abs(found - start).max() < 16.1  # a tenth of its side


def test_two_shots_from_one_place_are_no_parts_of_each_other(likeness):
    from scipy.ndimage import gaussian_filter, map_coordinates

    rng = np.random.default_rng(0)
    scene = np.asarray(photo(7, (320, 240)), float) + rng.normal(0, 25, (240, 320, 3))  # leaves
    scene = gaussian_filter(scene, (1, 1, 0))
    places = np.mgrid[:240, :320] + 1.8 * np.stack(
        [12 * gaussian_filter(rng.normal(0, 1, (240, 320)), 6) for _ in "yx"]
    )
    other = np.stack([map_coordinates(scene[..., k], places, mode="nearest") for k in range(3)], axis=2)
    shots = [Image.fromarray(np.clip(some, 0, 255).astype(np.uint8)) for some in (scene, other)]
    crops = [shot.crop((25, 20, 300, 225)) for shot in shots]
    made = likeness(*shots, *crops)
    assert [made.fit(0, 2).why, made.fit(1, 3).why] == ["part of", "part of"]
    assert made.fit(0, 3) is None
    assert made.fit(1, 2) is None


def test_what_was_read_is_kept_by_content(tmp_path, monkeypatch):
    photo(0).save(tmp_path / "a.png")
    paths, contents = [str(tmp_path / "a.png"), ""], [b"a" * 31 + b"\0", b"b" * 32]
    first = kept_looks(paths, contents, Caches(tmp_path / "cache", "id", "1-a"), quiet=True)
    assert first["size"].tolist() == [[240, 180], [0, 0]]
    monkeypatch.setattr(hashes, "look", lambda path: pytest.fail(f"read again: {path}"))
    for version in ("1-a", "2-b"):  # also in a later version of the index, and under another name
        again = kept_looks(["", "moved.png"], contents[::-1], Caches(tmp_path / "cache", "id", version), True)
        assert again[1] == first[0]
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:-9] + b"*" * 9)
    monkeypatch.undo()
    assert kept_looks(paths, contents, Caches(tmp_path / "cache", "id", "2-b"), quiet=True)[0] == first[0]


def test_a_heic_photo_is_a_copy_too(likeness, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `photos` is not installed")
    made = likeness(photo(0), photo(1))
    pillow_heif.from_pillow(photo(0)).save(tmp_path / "1.png")
    made = Likeness(made.paths, [b"a" * 32, b"b" * 32], quiet=True)
    assert made.fit(0, 1).why == "re-saved"
    assert made.about(1) == (240, 180, "HEIF")


def test_a_file_that_cannot_be_read_is_no_copy(tmp_path, likeness):
    made = likeness(photo(0), photo(0).resize((200, 150)))
    (tmp_path / "1.png").unlink()
    assert made.fit(0, 1) is None
    assert kept_looks([str(tmp_path / "1.png")], [b"x" * 32])["size"].sum() == 0
