"""The offline sampler against the blog's algorithm, rewritten plainly.

The blog's way shuffles the positions of a class for each query and of all images for each pair, then walks
them until enough are found; each triplet becomes three strings in one list. At 100,000 images it is timed
on a sample of its pairs, since all of them would take hours.

    python benchmarks/sampler.py [--quick]
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from outcome import Outcome
from scale import scale

from deep_ranking import UniformSampler, write_triplet_blocks

POSITIVES, NEGATIVES = 10, 5


def classes(count: int, images: int) -> dict[str, list[str]]:
    return {f"class{c:04d}": [f"class{c:04d}/image{i:06d}.jpg" for i in range(images)] for c in range(count)}


def blogs_way(folder: dict[str, list[str]], pairs: int | None = None) -> float:
    """Return triplets a second of the blog's algorithm, over all its pairs or the first ones."""
    rng = np.random.default_rng(0)
    everything = [image for images in folder.values() for image in images]
    pieces: list[str] = []
    done = 0
    start = time.perf_counter()
    for images in folder.values():
        own = set(images)
        for query in images:
            order = np.arange(len(images))
            rng.shuffle(order)
            chosen = [images[i] for i in list(order) if images[i] != query][:POSITIVES]
            for positive in chosen:
                order = np.arange(len(everything))
                rng.shuffle(order)
                found = 0
                for i in list(order):
                    if everything[i] not in own:
                        pieces += [query + ",", positive + ",", everything[i] + "\n"]
                        found += 1
                        if found == NEGATIVES:
                            break
                done += 1
                if done == pairs:
                    return NEGATIVES * done / (time.perf_counter() - start)
    with tempfile.TemporaryFile("w") as file:
        file.write("".join(pieces))
    return NEGATIVES * done / (time.perf_counter() - start)


def our_way(folder: dict[str, list[str]]) -> float:
    """Return triplets a second of the sampler, written to a file."""
    with tempfile.TemporaryDirectory() as where:
        start = time.perf_counter()
        sampler = UniformSampler(folder, POSITIVES, NEGATIVES)
        count = write_triplet_blocks(Path(where) / "triplets.txt", sampler.images, sampler.blocks())
        return count / (time.perf_counter() - start)


def peak_megabytes(count: int) -> float:
    """Return the peak memory of a process that writes 5,000 triplets for each of some classes."""
    code = f"import resource, sampler; sampler.our_way(sampler.classes({count}, 100)); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1000


def main() -> None:
    part = scale(__doc__, "time the blog's way on fewer pairs")
    few, many = {"full": (None, 1_000), "quick": (2_000, 100), "tiny": (10, 1)}[part]
    large = 100 if part == "tiny" else 1000
    outcome = Outcome("sampler")
    rates = {}
    for case, folder, pairs, goal in (
        ("5,000 images", classes(10, 500), few, 30),
        ("100,000 images", classes(large, 100), many, 500),
    ):
        old, new = blogs_way(folder, pairs), max(our_way(folder) for _ in range(3))
        rates[case] = new
        outcome.add(case, "times the blog's triplets a second", new / old, goal)
        print(f"{case}: the blog's way {old:,.0f} triplets/s, ours {new:,.0f}/s")
    # Linear time: twenty times the images, the same rate.
    outcome.add(
        "100,000 images", "share of the rate at 5,000", rates["100,000 images"] / rates["5,000 images"], 0.5
    )
    peak = peak_megabytes(large)
    print(f"{5_000 * large:,} triplets over {100 * large:,} images: peak memory {peak:.0f} MB")
    outcome.add("100,000 images", "500 MB over the peak memory", 500 / peak, 1)
    outcome.show()


if __name__ == "__main__":
    main()
