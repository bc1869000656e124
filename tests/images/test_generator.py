"""The generator: order, distinct images, shuffling, the last batch, and `model.fit`."""

import pickle

import keras
import numpy as np
import pytest

from deep_ranking import ImageDataGenerator, Triplet, TripletHingeLoss
from deep_ranking.errors import DeepRankingError
from deep_ranking.images.batches import BatchStream, TripletBatches
from deep_ranking.images.decode import ImageError, read_image
from deep_ranking.images.loader import load_batches
from deep_ranking.triplets import read_triplets, write_triplets
from deep_ranking.triplets.table import Triplets
from deep_ranking.triplets.uniform import UniformSampler

SIZE = (20, 24)


@pytest.fixture
def triplet_file(striped_classes):
    classes = {c: [f"{c}/{i}.png" for i in range(6)] for c in ("across", "down", "slant")}
    sampler = UniformSampler(classes, 2, 2, seed=1)
    triplets = [Triplet(*(sampler.images[i] for i in row)) for block in sampler.blocks() for row in block]
    path = striped_classes.parent / "triplets.txt"
    write_triplets(path, triplets[:70])  # no multiple of eight
    return path


@pytest.fixture
def table(triplet_file, striped_classes):
    return Triplets.load(triplet_file, striped_classes)


def test_images_stream_in_the_files_order_and_the_last_batch_is_short(triplet_file, striped_classes):
    batches = ImageDataGenerator().flow_from_directory(
        striped_classes, triplet_path=triplet_file, batch_size=24, target_size=SIZE
    )
    names = [name for triplet in read_triplets(triplet_file) for name in triplet]
    seen = []
    for images, targets in (batches[i] for i in range(len(batches))):
        assert images.dtype == np.uint8
        assert images.shape[1:] == (*SIZE, 3)
        assert len(images) == len(targets)
        assert len(images) % 3 == 0
        seen += list(images)
    assert len(batches) == 9
    assert len(seen) == 210
    for name, image in zip(names, seen, strict=True):
        np.testing.assert_array_equal(image, read_image(striped_classes / name, SIZE))


def test_distinct_images_and_rows_give_the_plain_batch(table):
    plain = TripletBatches(table, 24, SIZE)
    distinct = TripletBatches(table, 24, SIZE, distinct=True)
    for index in range(len(plain)):
        (rows, images), _ = distinct[index]
        np.testing.assert_array_equal(images[rows], plain[index][0])
        count = len({image.tobytes() for image in images})
        assert count == rows.max() + 1 < len(rows)
        assert len(images) == (-(-count // 8) * 8 if keras.backend.backend() == "jax" else count)


def test_each_distinct_image_is_decoded_once_a_batch(table, monkeypatch):
    read = []
    monkeypatch.setattr(
        "deep_ranking.images.batches.read_image",
        lambda path, size: read.append(path) or np.zeros((*size, 3)),
    )
    TripletBatches(table, 24, SIZE)[0]
    assert len(read) == len(set(read)) == len(np.unique(table.rows[:8])) < 24


def test_shuffling_keeps_triplets_and_runs_and_follows_seed_and_epoch(table):
    batches = TripletBatches(table, 24, SIZE, shuffle=True, seed=5)
    orders = [batches._shuffled(epoch) for epoch in (0, 1, 0)]
    np.testing.assert_array_equal(orders[0], orders[2])
    assert (orders[0] != orders[1]).any()
    for order in orders:
        assert sorted(order) == list(range(len(table)))
        pairs = table.rows[order][:, :2].tolist()
        runs = [pair for i, pair in enumerate(pairs) if i == 0 or pair != pairs[i - 1]]
        assert len(runs) == len({tuple(pair) for pair in pairs})
    assert (TripletBatches(table, 24, SIZE, shuffle=True, seed=6)._shuffled(0) != orders[0]).any()


def test_a_stream_goes_on_across_epochs_from_any_step(table):
    batches = TripletBatches(table, 24, SIZE, shuffle=True, distinct=True)
    stream = BatchStream(batches, start=7)
    for index, (epoch, within) in enumerate([(0, 7), (0, 8), (1, 0), (1, 1)]):
        np.testing.assert_array_equal(stream[index][0][0], batches.batch(epoch, within)[0][0])


@pytest.mark.parametrize("size", [0, 1, 8, 25, -3, 24.0, None])
def test_a_batch_size_that_is_no_multiple_of_three_is_refused(table, size):
    with pytest.raises(DeepRankingError, match=f"batch_size: expected a multiple of three .* found {size}"):
        TripletBatches(table, size)


def test_augmentation_and_rescaling_in_the_blogs_interface(triplet_file, striped_classes):
    def flow(**settings):
        generator = ImageDataGenerator(rescale=1 / 255, **settings)
        return generator.flow_from_directory(striped_classes, triplet_file, 6, SIZE, seed=3)[4][0]

    plain = flow()
    assert plain.dtype == np.float32
    assert 0.5 < plain.max() <= 1
    flipped = flow(horizontal_flip=True)
    assert all(
        np.allclose(a, b) or np.allclose(a[:, ::-1], b) for a, b in zip(plain, flipped, strict=True)
    ), "an image is mirrored or not"
    varied = {"rotation_range": 30, "zoom_range": 0.2, "shear_range": 0.2, "vertical_flip": True}
    np.testing.assert_array_equal(flow(**varied), flow(**varied))
    assert not np.array_equal(flow(**varied), plain)
    inverted = flow(preprocessing_function=lambda image: 255 - image)  # as Keras's: before it is rescaled
    np.testing.assert_allclose(inverted, 1 - plain, atol=1e-6)
    alone = flow(preprocessing_function=lambda image: image - image.mean())  # and image by image
    np.testing.assert_allclose(alone, plain - plain.mean(axis=(1, 2, 3), keepdims=True), atol=1e-5)
    with pytest.raises(DeepRankingError, match=r"preprocessing_function: expected an image \(.*3\), found"):
        flow(preprocessing_function=lambda image: image[..., 0])


@pytest.mark.parametrize(
    ("varied", "flow", "message"),
    [
        ({"horizontal_flip": "False"}, {}, "horizontal_flip: expected True or False, found 'False'"),
        ({"width_shift_range": "0.2"}, {}, "width_shift_range: expected 0 or more, or a list of shifts"),
        ({"height_shift_range": []}, {}, "height_shift_range: expected 0 or more, or a list of shifts"),
        ({"preprocessing_function": 3}, {}, "preprocessing_function: expected a function of one image"),
        ({"dtype": "floot"}, {}, "dtype: expected a number type, as 'float32', found 'floot'"),
        ({}, {"target_size": (20.0, 20)}, r"target_size: expected \(height, width\), .*, found \(20.0, 20\)"),
        ({}, {"target_size": (10**6, 10**6)}, "target_size: .* 1 to 89,000,000 pixels in all"),
        ({}, {"seed": None}, r"seed: expected 0 or more and below 2\^31, found None"),
        ({}, {"seed": 2**40}, "seed: expected 0 or more"),
        ({}, {"batch_size": "24"}, "batch_size: expected a multiple of three .* found '24'"),
        ({}, {"workers": "2"}, "workers: expected a number of threads, found '2'"),
    ],
)
def test_what_the_generator_cannot_do_is_refused_at_once(
    triplet_file, striped_classes, varied, flow, message
):
    with pytest.raises(DeepRankingError, match=message):
        ImageDataGenerator(**varied).flow_from_directory(striped_classes, triplet_file, **flow)


def test_batches_go_to_another_process(triplet_file, striped_classes):
    varied = ImageDataGenerator(horizontal_flip=True, rotation_range=20)
    batches = varied.flow_from_directory(striped_classes, triplet_file, 24, SIZE, shuffle=True, seed=3)
    expected = batches[1][0]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(batches))[1][0], expected)


@pytest.mark.parametrize("workers", [1, 2])
def test_model_fit_takes_it(triplet_file, striped_classes, workers):
    keras.utils.set_random_seed(0)
    batches = ImageDataGenerator(horizontal_flip=True).flow_from_directory(
        striped_classes, triplet_file, 24, SIZE, shuffle=True, workers=workers
    )
    model = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 5, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
            keras.layers.UnitNormalization(),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), loss=TripletHingeLoss(0.5))
    losses = model.fit(batches, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_a_broken_image_names_itself(table, striped_classes):
    (striped_classes / "across/0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    batches = TripletBatches(table, 24, SIZE)
    with pytest.raises(ImageError, match=r"across/0\.png: cannot be read"):
        batches[0]
    assert "across/0.png" in str(batches.failure)


def test_the_loader_keeps_order_and_lists_failures(striped_classes):
    (striped_classes / "down/3.png").write_text("no image")
    paths = sorted(striped_classes.rglob("*.png"))
    batches = list(load_batches(paths, SIZE, batch_size=4, workers=2))
    positions = np.concatenate([batch.positions for batch in batches])
    images = np.concatenate([batch.images for batch in batches])
    failures = [failure for batch in batches for failure in batch.failures]
    assert len(batches) == 5
    assert [paths[i].name for i, _ in failures] == ["3.png"]
    assert list(positions) == [i for i in range(18) if i != failures[0][0]]
    for position, image in zip(positions, images, strict=True):
        np.testing.assert_array_equal(image, read_image(paths[position], SIZE))
    assert list(load_batches([], SIZE, 4)) == []
