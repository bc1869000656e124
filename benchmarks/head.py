"""Training the head on what a frozen backbone gave once for each image, against the same epoch end to end.

MobileNetV2 at 224 pixels without low-resolution paths, its backbone frozen, triplets in the order of a
sampled file, 24 or 240 rows a step. End to end, the images come decoded from the image cache and pass the
backbone in every step; with `--train_from out_relu`, what the backbone gives is computed beforehand, once
(that time is shown, and is not in the ratio), and mapped from a file. Epochs are compared by the step: the
head's have 40 times as many, 600 of 24 rows, as they would have with a folder of images; end to end that
would take too long.

    python benchmarks/head.py [--quick]
"""

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from photos import write_photos
from scale import scale
from timing import least_seconds

from deep_ranking import UniformSampler, import_keras

LONGER = 40


def measure(
    outcome: Outcome, backbone: str, layer: str, size: int, rows: int, steps: int, rounds: int
) -> None:
    from deep_ranking import (
        BatchStream,
        CachedActivations,
        ImageCache,
        NetworkSettings,
        TrainingSettings,
        TripletBatches,
        Triplets,
        build_training_model,
        make_engine,
    )

    network = NetworkSettings(backbone, size, 512, low_resolution="none")
    choices = {"weights": "none", "augmentation": "none", "freeze_normalization": True, "backbone_rate": 0.0}
    whole = build_training_model(TrainingSettings(network, **choices))
    head = build_training_model(TrainingSettings(network, train_from=layer, **choices))
    shape = (size, size)
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}" for name in write_photos(Path(folder), 200, 400)]
        sampler = UniformSampler({str(c): paths[c::4] for c in range(4)}, 10, 5)
        triplets = np.concatenate(list(sampler.blocks()))[: rows // 3 * steps * LONGER]
        table = Triplets(sampler.images, triplets.astype(np.int32), "")
        from_pixels, from_features = (
            TripletBatches(table, rows, shape, distinct=True, workers=2, cache=ImageCache(shape))
            for _ in range(2)
        )
        begin = time.perf_counter()
        engine = make_engine("auto", head.frozen, "auto")
        activations = CachedActivations(engine, table.images, shape, Path(folder))
        from_features = from_features.reading(activations)
        print(f"frozen layers, once: {(time.perf_counter() - begin) / len(paths):.3f} s an image")

        def epoch(trained, batches: TripletBatches, steps: int) -> None:
            stream = BatchStream(batches)
            trained.model.fit(stream, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)

        runs = {
            "end to end": lambda: epoch(whole, from_pixels, steps),
            "head alone": lambda: epoch(head, from_features, steps * LONGER),
        }
        for run in runs.values():  # traces, and fills the image cache
            run()
        times = least_seconds(runs, rounds)
    times["head alone"] /= LONGER
    for name, seconds in times.items():
        print(f"{name}: {1000 * seconds / steps:.1f} ms a step of {rows} rows")
    ratio = times["end to end"] / times["head alone"]
    outcome.add(f"{backbone}, {size} px, {rows} rows", "times the epoch end to end", ratio, 50)


def main() -> None:
    part = scale(__doc__, "a third of the steps, fewer rounds")
    steps, rounds = {"full": (15, 4), "quick": (5, 2), "tiny": (1, 1)}[part]
    import_keras()
    outcome = Outcome("head")
    if part == "tiny":
        measure(outcome, "simple", "convolution_4", 32, 24, steps, rounds)
    else:
        for rows, share in ((24, 1), (240, 3)):
            measure(outcome, "mobilenetv2", "out_relu", 224, rows, steps // share, rounds)
    outcome.show()


if __name__ == "__main__":
    main()
