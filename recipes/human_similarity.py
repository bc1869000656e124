"""Similarity as people rate it: a network blended from MobileNetV2, for triplets of text queries never seen.

Paper: Wang et al. 2014, "Learning Fine-grained Image Similarity with Deep Ranking", section 5.1 (golden
feature) and section 7, Tables 1 and 2.
Data: an archive of `images/<text query>/<name>.jpg` and `triplets.txt`; 2,464 triplets of 6,536 images.
Weights: MobileNetV2's ImageNet weights without its top, in the layout of keras.applications.
Hardware: 2 cores, 16 GB of memory, no GPU; with --device gpu, any GPU that Keras finds.
Took 49 minutes beside much other work, by estimate 12 alone.
Expect 85.7% (84.3 to 87.2) on text queries held out; untrained 81.1%.

    pip install '.[fast,features,report]'
    python recipes/human_similarity.py --archive human-triplets-development.zip \\
        --weights mobilenet_v2_1.0_224_no_top.weights.h5 --output human

writes human/model.h5, learned from all triplets; human/results.json and human/precision.png, cross-validated
over text queries (no image and no text query on both sides); and human/report, a page on a model that was
learned without a fifth of the text queries, and is asked about those.
A larger backbone: --backbone resnet50 --weights imagenet --device gpu (not measured here).
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from deep_ranking import (
    Estimate,
    Triplets,
    bootstrap,
    import_keras,
    prepare_human_triplets,
    similarity_precision,
    triplet_distances,
    written_whole,
)

FOLDS = 5
SHARES = (0.125, 0.25, 0.5, 1.0)
PAPER = {"golden feature": 80.3, "ConvNet": 82.8, "single-scale ranking": 84.6, "deep ranking": 85.7}
"""Similarity precision in percent; Tables 1 and 2, on the paper's own triplets, of which ours are a part."""
ABLATION = {
    "last layer": ("layout",),
    "and one low-resolution path": ("layout", "thumbnail 8x8"),
    "and both": ("layout", "thumbnail 8x8", "thumbnail 4x4"),
    "and colour": ("layout", "thumbnail 8x8", "thumbnail 4x4", "colour"),
    "and two lower layers": ("layout", "thumbnail 8x8", "thumbnail 4x4", "colour", "parts", "texture"),
    "no low-resolution path": ("layout", "colour", "parts", "texture"),
    "no colour either": ("layout", "parts", "texture"),
}
"""What is blended in each row of the multi-scale ablation, without a metric."""


def main() -> None:
    """Describe the images once; then all else is matrices."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--archive", required=True, help="zip of the images and triplets.txt")
    add("--weights", required=True, help="the backbone's weights file, or imagenet")
    add("--output", required=True, help="folder for the model, the figures and the report")
    add("--backbone", default="mobilenetv2", help="mobilenetv2 (default) or resnet50")
    add("--device", choices=("cpu", "gpu"), default="cpu", help="cpu runs OpenVINO, gpu Keras (default: cpu)")
    add("--seed", type=int, default=0, help="of all that is random (default: 0)")
    add("--json", action="store_true", help="print results.json")
    args = parser.parse_args()
    begun = time.monotonic()
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare_human_triplets(data, args.archive)
        results = learn(Triplets.load(data / "triplets.txt", data), output, args)
    with written_whole(output / "precision.png") as temporary:
        draw(results["precision"], temporary)
    results["minutes"] = round((time.monotonic() - begun) / 60, 1)
    with written_whole(output / "results.json") as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(json.dumps(results) if args.json else text(results))


def learn(table: Triplets, output: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Cross-validate, write the model and the report, return all figures."""
    import_keras()
    from deep_ranking import (
        Blend,
        BlendSettings,
        Descriptions,
        LearnSettings,
        Model,
        NetworkSettings,
        __version__,
        build_network,
        group_folds,
        load_weights,
        make_engine,
        ranked_right,
        report,
        sample_classes,
        save_network,
        text_query_groups,
    )

    triplets, groups = table.rows, text_query_groups(table.images, table.rows)
    engine = "openvino" if args.device == "cpu" else "keras"
    reading = LearnSettings(args.backbone, args.weights, engine=engine, seed=args.seed)
    described = Descriptions.of(table.images, reading)
    settings = described.settings(BlendSettings(seed=args.seed))
    alone = described.settings(BlendSettings(metric=None, seed=args.seed))
    found = described.descriptions

    plain = NetworkSettings(args.backbone, embedding_size=0, low_resolution="none")
    untrained = build_network(plain)
    load_weights(untrained, plain, args.weights)
    vectors = Model(untrained, engine=make_engine(engine, untrained)).embed_all(table.images, quiet=False)
    right = {"untrained": similarity_precision(triplet_distances(vectors, triplets))}

    everything = {**found, **thumbnails(table.images)}
    for name, parts in ABLATION.items():
        chosen = {part: everything[part] for part in parts}
        right[name] = ranked_right(chosen, triplets, groups, alone, FOLDS)
        say(name, right[name])
    right["blend"] = ranked_right(found, triplets, groups, settings, FOLDS)
    say("blend", right["blend"])
    one_side = Descriptions.of(table.images, replace(reading, average_mirror=False))
    right["blend, one side"] = ranked_right(one_side.descriptions, triplets, groups, settings, FOLDS)
    say("blend, one side", right["blend, one side"])
    pairs = [("blend", "untrained"), ("blend", "no low-resolution path"), ("blend", "blend, one side")]
    names = ["untrained", *ABLATION][:-2]
    pairs += [(name, before) for before, name in pairwise(names)]
    pairs += [(names[-1], "no low-resolution path"), ("no low-resolution path", "no colour either")]
    gains = {f"{name} - {base}": right[name].astype(float) - right[base] for name, base in pairs}
    curve = learning_curve(found, triplets, groups, settings, args.seed)

    precision = bootstrap(right, groups, seed=args.seed)
    metadata = {
        "version": __version__,
        "triplets": table.description,
        "metrics": {"cross_validated_precision": precision["blend"]._asdict()},
    }
    save_network(described.network(Blend.fit(found, triplets, settings)), output / "model.h5", metadata)

    training, held_out = group_folds(groups, FOLDS)[0]
    without = output / "model_without_a_fifth.h5"
    blend = Blend.fit(found, triplets[training], settings)
    save_network(described.network(blend), without, metadata)
    train, test = (sample_classes(by_text_query(table, rows), 4, args.seed) for rows in (training, held_out))
    report(without, train, test, output / "report", seed=args.seed, quiet=False)
    return {
        "triplets": len(table),
        "groups": int(groups.max()) + 1,
        "precision": {name: estimate._asdict() for name, estimate in precision.items()},
        "gain": {name: e._asdict() for name, e in bootstrap(gains, groups, seed=args.seed).items()},
        "learning_curve": {name: e._asdict() for name, e in bootstrap(curve, groups).items()},
    }


def learning_curve(
    descriptions: dict[str, np.ndarray], triplets: np.ndarray, groups: np.ndarray, settings: Any, seed: int
) -> dict[str, np.ndarray]:
    """Return which held-out triplets are ranked right after learning from a share of the other groups."""
    from deep_ranking import Blend, group_folds

    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    curve = {}
    for share in SHARES:
        right = np.zeros(len(triplets), bool)
        sizes = []
        for training, held_out in group_folds(groups, FOLDS):
            own = np.unique(groups[training])
            own = own[np.argsort(order[own])][: round(share * len(own))]
            rows = training[np.isin(groups[training], own)]
            sizes.append(len(rows))
            vectors = Blend.fit(descriptions, triplets[rows], settings).vectors(descriptions)
            right[held_out] = similarity_precision(triplet_distances(vectors, triplets[held_out]))
        curve[f"{np.mean(sizes):.0f} triplets"] = right
        say(f"learned from {np.mean(sizes):.0f} triplets", right)
    return curve


def thumbnails(paths: list[str]) -> dict[str, np.ndarray]:
    """Return two low-resolution paths: the image averaged to 8x8 and to 4x4 pixels in LAB, unit length."""
    import keras

    from deep_ranking import LabColour, load_image_batches

    found: dict[str, list[np.ndarray]] = {"thumbnail 8x8": [], "thumbnail 4x4": []}
    for batch in load_image_batches(paths, (32, 32), 256):
        lab = keras.ops.convert_to_numpy(LabColour()(batch.images.astype(np.float32)))
        for parts, side in zip(found.values(), (8, 4), strict=True):
            cells = lab.reshape(len(lab), side, 32 // side, side, 32 // side, 3)
            parts.append(cells.mean(axis=(2, 4)).reshape(len(lab), -1))
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: x / np.linalg.norm(x, axis=1, keepdims=True) for name, x in joined.items()}


def by_text_query(table: Triplets, rows: np.ndarray) -> dict[str, list[str]]:
    """Return text query -> the images of some triplets."""
    classes: dict[str, list[str]] = {}
    for image in np.unique(table.rows[rows]):
        path = table.images[image]
        classes.setdefault(Path(path).parent.name, []).append(path)
    return classes


def say(name: str, right: np.ndarray) -> None:
    """Tell how far it is."""
    print(f"{name}: {right.mean():.1%}", file=sys.stderr)


def text(results: dict[str, Any]) -> str:
    """Return the figures as tables."""

    def line(name: str, found: dict[str, float], sign: str) -> str:
        value, low, high = (100 * found[key] for key in Estimate._fields)
        return f"| {name} | {value:{sign}.1f} | {low:{sign}.1f} to {high:{sign}.1f} |"

    parts = []
    for key, sign in (("precision", ""), ("gain", "+"), ("learning_curve", "")):
        parts.append(f"| {key.replace('_', ' ')} | % | 95% interval |\n| --- | ---: | ---: |")
        parts += [line(name, found, sign) for name, found in results[key].items()] + [""]
    return "\n".join(parts) + f"{results['triplets']} triplets, {results['minutes']} minutes"


def draw(precision: dict[str, dict[str, float]], path: Path) -> None:
    """Draw ours, untrained and the paper's rows, with 95% intervals where there are any, as a PNG."""
    from deep_ranking import CHART_COLOURS, draw_chart

    rows = [(f"{name} (paper)", value, None) for name, value in PAPER.items()]
    for name, title in (("untrained", "MobileNetV2, untrained"), ("blend", "blend (ours)")):
        value, low, high = (100 * precision[name][key] for key in Estimate._fields)
        rows.append((title, value, (low, high)))
    rows.sort(key=lambda row: row[1])

    def chart(axes: Any, ink: Any) -> None:
        # Points, since bars that do not begin at 0 would lie about their ratios.
        for place, (_, value, interval) in enumerate(rows):
            if interval:
                axes.plot(interval, (place, place), color=ink.first, linewidth=1.5)
            axes.plot(value, place, "o", color=ink.first if interval else ink.second, markersize=6)
            axes.annotate(
                f"{value:.1f}",
                (value, place),
                (0, 6),
                textcoords="offset points",
                ha="center",
                color=ink.text,
            )
        axes.grid(axis="x", color=ink.faint, linewidth=0.5)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(79, 89)
        axes.set_ylim(-0.6, len(rows) - 0.2)
        axes.set_xlabel("rated triplets ranked right, %\n(the paper: on all its triplets)")

    draw_chart(chart, CHART_COLOURS).save(path, "PNG")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    main()
