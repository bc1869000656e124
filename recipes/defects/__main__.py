"""What each defect of earlier Deep Ranking code costs: one at a time, against the right way, on one budget.

Paper: Wang et al. 2014, "Learning Fine-grained Image Similarity with Deep Ranking"; the defects are those of
public re-implementations of it (docs/from-the-blog.md). They live in this folder alone, none in the package.
Data: the drawn set (`deep-ranking prepare demo`) and the first classes of Tiny ImageNet; of each a part to
learn from, a part to choose the learning rate by, a part to measure on.
Learned: a small network from random weights on the drawn set; behind and beside a frozen MobileNetV2 on the
photographs. Each way has the learning rate that is best for it.
Weights: MobileNetV2's ImageNet weights without its top, in the layout of keras.applications.
Hardware: 2 cores, no GPU. Takes 45 minutes of processor time.
Expect 88.1% (86.5 to 89.5) and 78.8% (77.3 to 80.2) of triplets ranked right by the right way; the hinge of
the batch's mean 7 and 9 points below, all that the blog did 22 and 18. docs/experiments.md has the tables.

    pip install '.[report]'
    python recipes/defects --archive tiny-imagenet-200.zip \\
        --weights mobilenet_v2_1.0_224_no_top.weights.h5 --output defects

writes defects/table.md, defects/results.json and defects/defects.png. Runs that ended are kept in
defects/runs; the same command, given again, goes on behind them.
"""

import argparse
import json
import sys
from pathlib import Path

from deep_ranking import DeepRankingError, import_keras, progress_bar, written_whole

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


def main() -> None:
    """Learn in each way, print the tables, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", required=True, type=Path, help="folder for the runs, the figures and the picture")
    add("--archive", help="Tiny ImageNet's; without it or --weights the drawn set alone is used")
    add("--weights", help="MobileNetV2's weights file")
    add("--classes", type=int, default=20, help="of Tiny ImageNet (default: 20)")
    add("--images", type=int, default=40, help="of each class, in each part (default: 40)")
    add("--steps", type=int, default=400, help="of 24 images, the budget of a run (default: 400)")
    add(
        "--rates",
        type=float,
        nargs="+",
        default=RATES,
        help=f"learning rates to choose from, ascending (default: {RATES})",
    )
    add("--seeds", type=int, default=3, help="runs of each way with each rate (default: 3)")
    add("--only", default="", help="the ways whose names hold this, beside the right one")
    args = parser.parse_args()

    import_keras("tensorflow")
    from learn import from_random_weights, on_frozen_features, with_features
    from parts import drawn, tiny_imagenet
    from picture import draw
    from runs import Task, with_best_rate
    from table import compared, text
    from ways import LEARNED, OF_FEATURES, RIGHT

    pixels = drawn(args.images)
    tasks = {
        "drawn set, random weights": Task(from_random_weights, {"backbone": pixels, "unit": pixels}, LEARNED)
    }
    if args.archive and args.weights:
        pixels = tiny_imagenet(args.archive, args.classes, args.images)
        parts = {scaling: with_features(pixels, args.weights, scaling) for scaling in ("backbone", "unit")}
        tasks["Tiny ImageNet, frozen MobileNetV2"] = Task(on_frozen_features, parts, LEARNED + OF_FEATURES)
    runs = args.output / "runs" / f"{args.classes} classes, {args.images} images, {args.steps} steps"
    results = {}
    for title, task in tasks.items():
        chosen = [way for way in task.ways if args.only in way.name or way == RIGHT]
        results[title] = compared(
            {
                way: with_best_rate(task, way, runs / title, args.rates, args.seeds, args.steps)
                for way in progress_bar(chosen, title, "ways")
            }
        )
    with written_whole(args.output / "table.md") as temporary:
        temporary.write_text(text(results), "utf-8")
    with written_whole(args.output / "results.json") as temporary:
        temporary.write_text(json.dumps(results, indent=1), "utf-8")
    with written_whole(args.output / "defects.png") as temporary:
        draw(results, temporary)
    print(text(results))


if __name__ == "__main__":
    try:
        main()
    except DeepRankingError as error:
        sys.exit(f"defects: error: {error}")
