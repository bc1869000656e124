"""A training epoch from files against the same steps fed from memory: does training ever wait for images?

MobileNetV2 (multi-scale, 224 pixels, normalization frozen), 24 rows a step in the order of a sampled triplet
file, photographs of 500 pixels. From memory, `fit` is given batches made beforehand; from files, two threads
read them meanwhile, decoding each image whenever it is wanted, or, as `train` does, once: each epoch begins
with an empty image cache here.

    python benchmarks/epoch.py [--quick]
"""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from outcome import Outcome
from photos import write_photos
from scale import scale
from timing import least_seconds

from deep_ranking import UniformSampler, import_keras


def main() -> None:
    size_of_run = scale(__doc__, "a third of the steps, fewer rounds")
    steps, rounds = {"full": (15, 4), "quick": (5, 2), "tiny": (1, 1)}[size_of_run]
    backbone, size = ("simple", 32) if size_of_run == "tiny" else ("mobilenetv2", 224)
    import_keras()
    import keras

    from deep_ranking import (
        BatchStream,
        ImageCache,
        NetworkSettings,
        TrainingSettings,
        TripletBatches,
        Triplets,
        build_training_model,
    )

    class FromMemory(keras.utils.PyDataset):
        def __init__(self, batches: list):
            super().__init__()
            self.batches = batches

        def __len__(self) -> int:
            return len(self.batches)

        def __getitem__(self, index: int):
            return self.batches[index]

    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in write_photos(Path(folder), 500, 60)]
        sampler = UniformSampler({str(c): paths[c::4] for c in range(4)}, 10, 5)
        rows = np.concatenate(list(sampler.blocks()))[: 8 * steps].astype(np.int32)
        table = Triplets(sampler.images, rows, "")
        settings = TrainingSettings(
            NetworkSettings(backbone, size, 512), weights="none", freeze_normalization=True
        )
        model = build_training_model(settings)[1]

        def batches(cache: ImageCache | None = None) -> TripletBatches:
            return TripletBatches(table, 24, (size, size), distinct=True, workers=2, cache=cache)

        def epoch(data: keras.utils.PyDataset) -> None:
            model.fit(data, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)

        ready = [batches()[index] for index in range(steps)]
        epoch(FromMemory(ready))  # traces
        times = least_seconds(
            {
                "memory": lambda: epoch(FromMemory(ready)),
                "decoding each time": lambda: epoch(BatchStream(batches())),
                "image cache": lambda: epoch(BatchStream(batches(ImageCache((size, size))))),
            },
            rounds,
        )
    for name, seconds in times.items():
        print(f"{name}: {seconds / steps:.3f} s a step of 8 triplets")
    outcome = Outcome("epoch")
    for name in ("decoding each time", "image cache"):
        share = times["memory"] / times[name]
        outcome.add(f"{backbone}, {size} px", f"{name}, share of the rate from memory", share, 0.95)
    outcome.show()


if __name__ == "__main__":
    main()
