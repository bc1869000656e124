"""How much few answers teach: chosen as the page chooses them, and drawn at random.

Data: the archive that human_similarity.py takes; its triplets are the people who answer. Weights:
MobileNetV2's without its top. Hardware: 2 cores; 5 minutes of reading, kept in OUTPUT, and 3 of learning.
Expect less than its noise from 800 answers on text queries never seen (docs/experiments.md).

    DEEP_RANKING_WEIGHTS=mobilenet_v2_1.0_224_no_top.weights.h5 python recipes/few_ratings.py \\
        --archive human-triplets-development.zip --output few

Each seed holds out a fifth of the text queries. Of the other triplets an answer is asked for at a time: the
next one in a random order, or of the next eight the one that would teach most by what was learned so far.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking import (
    Index,
    LessonSettings,
    Triplets,
    bootstrap,
    group_folds,
    independent_groups,
    learn_map,
    prepare_human_triplets,
    similarity_precision,
    telling,
    triplet_distances,
)

ANSWERS = (25, 50, 100, 200, 400, 600, 800)
COMPARED = 8
SEEDS = 5


def main() -> None:
    """Describe the images once; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archive", required=True, help="zip of the images and triplets.txt")
    parser.add_argument("--output", required=True, help="folder for the images, their index and results.json")
    output = Path(parser.parse_args().output)
    if not (output / "human").exists():
        prepare_human_triplets(output / "human", parser.parse_args().archive)
    with Index.from_folder(output / "human", place=output / "human.index") as index:
        images, vectors = index.snapshot.images, np.array(index.snapshot.contents.whole().matrix)
    rows = {image.path: row for row, image in enumerate(images)}
    table = Triplets.load(output / "human" / "triplets.txt", output / "human")
    names = [str(Path(path).relative_to(output / "human").as_posix()) for path in table.images]
    triplets = np.array([rows[name] for name in names])[table.rows]
    labels = [np.array([image.path.split("/")[0] for image in images])]
    labels += [np.array([image.hash.hex() for image in images])]
    found = study(vectors, triplets, labels)
    (output / "results.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def study(vectors: np.ndarray, triplets: np.ndarray, labels: list[np.ndarray]) -> dict[str, Any]:
    """Print and return precision on held-out text queries, and its gain, by how many answers were given."""
    groups = independent_groups(triplets, *labels)
    gains: dict[str, list[np.ndarray]] = {}
    start, where, sizes = [], [], {}
    for seed in range(SEEDS):
        training, held_out = group_folds(groups, SEEDS)[seed]
        before = right(vectors, triplets[held_out])
        start.append(before)
        where.append(groups[held_out])
        for way in ("random", "chosen"):
            asked = ask(vectors, triplets, training, labels, seed, way == "chosen")
            for count, learned in asked.items():
                after = before if learned is None else right(learned(vectors), triplets[held_out])
                gains.setdefault(f"{way} {count}", []).append(after.astype(float) - before)
                sizes.setdefault(f"{way} {count}", []).append(learned is not None)
    scores = {name: np.concatenate(parts) for name, parts in gains.items()}
    estimates = bootstrap(scores, np.concatenate(where))
    print(f"the start: {100 * np.mean(np.concatenate(start)):.1f}%")
    print("| answers | learned in | gain, points | 95% interval |\n| --- | ---: | ---: | ---: |")
    for name, (value, low, high) in estimates.items():
        told = f"{100 * value:+.2f} | {100 * low:+.2f} to {100 * high:+.2f}"
        print(f"| {name} | {sum(sizes[name])} of {SEEDS} | {told} |")
    return {name: estimate._asdict() for name, estimate in estimates.items()}


def ask(
    vectors: np.ndarray, triplets: np.ndarray, training: np.ndarray, labels: Any, seed: int, chosen: bool
) -> dict[int, Any]:
    """Return the map that is learned from so many answers, by their number; None is the start."""
    left = np.random.default_rng(seed).permutation(training).tolist()
    given: list[int] = []
    learned: dict[int, Any] = {}
    now = vectors
    while len(given) < max(ANSWERS):
        best = 0
        if chosen:
            asked = triplets[given[-256:], 0].tolist()
            best = int(np.argmax(telling(now, triplets[left[:COMPARED]], asked)))
        given.append(left.pop(best))
        if len(given) in ANSWERS:
            lesson = learn_map(vectors, triplets[given], None, LessonSettings(seed=seed), labels)
            learned[len(given)] = lesson.map
            now = vectors if lesson.map is None else lesson.map(vectors)
    return learned


def right(vectors: np.ndarray, triplets: np.ndarray) -> np.ndarray:
    """Return which triplets are ranked right."""
    return similarity_precision(triplet_distances(vectors, triplets))


if __name__ == "__main__":
    main()
