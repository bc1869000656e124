"""The same rankings through other libraries' metrics: does the table in docs/metrics.md still hold?

    make peers                                    # or, in an environment that has them all:
    PYTHONPATH=. python tests/peers/metrics.py    # exits 1 where a cell or a version is another now
    PYTHONPATH=. python tests/peers/metrics.py --write

One ranking of eight images, hits 1 0 0 1 0 0 0 1, all R = 3 relevant images among them, as distances 1 to 8
and as scores 0.8 to 0.1; the same with all images equally far; with a second query that has no relevant
image; and K beyond the images. A cell is what a library answers, "-" where it has no such figure, "error"
where it refuses.
"""

import re
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"
BEGIN, END = "<!-- peers: begin -->\n", "<!-- peers: end -->\n"

HITS = np.array([1, 0, 0, 1, 0, 0, 0, 1])
SCORES = np.linspace(0.8, 0.1, 8)
FIGURES = (
    "precision@5", "precision@20", "recall@5", "AP", "AP@5", "AP@3", "AP@20", "NDCG@5", "NDCG@3",
    "reciprocal rank", "AP, all tied", "AP, scores negated distances", "mean AP with a lonely query",
    "mean precision@5 with a lonely query",
)  # fmt: skip

Cells = dict[str, Callable[[], float]]


def ours() -> Cells:
    from deep_ranking.evaluation.metrics import measure_retrieval

    def found(name: str, tied: bool = False, lonely: bool = False) -> float:
        at = [int(k) for k in re.findall(r"@(\d+)", name)] or [1]
        gallery = np.ones((8, 1)) if tied else np.arange(1.0, 9)[:, None]
        labels = np.where(HITS, "a", "b")
        queries = ["a", "lonely"] if lonely else ["a"]
        measured = measure_retrieval(
            np.zeros((len(queries), 1)), queries, gallery, labels, at=at, voters=[1], whole=True
        )
        return measured.metrics[name].value

    return {
        "precision@5": lambda: found("precision@5"),
        "precision@20": lambda: found("precision@20"),
        "recall@5": lambda: found("recall@5"),
        "AP": lambda: found("average_precision"),
        "NDCG@5": lambda: found("ndcg@5"),
        "NDCG@3": lambda: found("ndcg@3"),
        "reciprocal rank": lambda: found("mean_reciprocal_rank"),
        "AP, all tied": lambda: found("average_precision", tied=True),
        "AP, scores negated distances": lambda: found("average_precision"),
        "mean AP with a lonely query": lambda: found("average_precision", lonely=True),
        "mean precision@5 with a lonely query": lambda: found("precision@5", lonely=True),
    }


def torchmetrics() -> Cells:
    import torch
    from torchmetrics.functional import retrieval
    from torchmetrics.retrieval import RetrievalMAP, RetrievalPrecision

    hits, scores = torch.tensor(HITS), torch.tensor(SCORES)

    def two(metric: Callable) -> float:
        targets, indexes = torch.cat([hits, torch.zeros(8, dtype=int)]), torch.arange(16) // 8
        return float(metric(torch.cat([scores, scores]), targets, indexes=indexes))

    return {
        "precision@5": lambda: retrieval.retrieval_precision(scores, hits, top_k=5),
        "precision@20": lambda: retrieval.retrieval_precision(scores, hits, top_k=20),
        "recall@5": lambda: retrieval.retrieval_recall(scores, hits, top_k=5),
        "AP": lambda: retrieval.retrieval_average_precision(scores, hits),
        "AP@5": lambda: retrieval.retrieval_average_precision(scores, hits, top_k=5),
        "AP@3": lambda: retrieval.retrieval_average_precision(scores, hits, top_k=3),
        "AP@20": lambda: retrieval.retrieval_average_precision(scores, hits, top_k=20),
        "NDCG@5": lambda: retrieval.retrieval_normalized_dcg(scores, hits, top_k=5),
        "NDCG@3": lambda: retrieval.retrieval_normalized_dcg(scores, hits, top_k=3),
        "reciprocal rank": lambda: retrieval.retrieval_reciprocal_rank(scores, hits),
        "AP, all tied": lambda: retrieval.retrieval_average_precision(torch.full((8,), 0.5), hits),
        "AP, scores negated distances": lambda: retrieval.retrieval_average_precision(scores - 1, hits),
        "mean AP with a lonely query": lambda: two(RetrievalMAP()),
        "mean precision@5 with a lonely query": lambda: two(RetrievalPrecision(top_k=5)),
    }


def pytorch_metric_learning() -> Cells:
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    def found(name: str, k: int | None = None, tied: bool = False, lonely: bool = False) -> float:
        gallery = torch.ones(8, 1) if tied else torch.arange(1.0, 9)[:, None]
        queries = torch.tensor([1, 2] if lonely else [1])
        calculator = AccuracyCalculator(include=(name,), k=k)
        return calculator.get_accuracy(torch.zeros(len(queries), 1), queries, gallery, torch.tensor(HITS))[
            name
        ]

    whole = "mean_average_precision"
    return {
        "AP": lambda: found(whole, 8),
        "AP@5": lambda: found(whole, 5),
        "AP@3": lambda: found(whole, 3),
        "AP@20": lambda: found(whole, 20),
        "AP, all tied": lambda: found(whole, 8, tied=True),
        "AP, scores negated distances": lambda: found(whole, 8),
        "mean AP with a lonely query": lambda: found(whole, 8, lonely=True),
    }


def open_metric_learning() -> Cells:
    import torch
    from oml.functional.metrics import calc_cmc, calc_map, calc_precision

    hits, lonely = torch.tensor(HITS, dtype=torch.bool), torch.zeros(8, dtype=torch.bool)

    def of(measure: Callable, k: int) -> float:
        return float(measure((hits,), [3], (k,))[0].mean())

    return {
        "precision@5": lambda: of(calc_precision, 5),
        "precision@20": lambda: of(calc_precision, 20),
        "recall@5": lambda: of(calc_cmc, 5),
        "AP": lambda: of(calc_map, 8),
        "AP@5": lambda: of(calc_map, 5),
        "AP@3": lambda: of(calc_map, 3),
        "AP@20": lambda: of(calc_map, 20),
        "AP, scores negated distances": lambda: of(calc_map, 8),
        "mean AP with a lonely query": lambda: float(calc_map((hits, lonely), [3, 0], (8,))[0].mean()),
        "mean precision@5 with a lonely query": lambda: float(
            calc_precision((hits, lonely), [3, 0], (5,))[0].mean()
        ),
    }


IDS = [f"d{number}" for number in range(1, 9)]
RELEVANT = {name: 1 for name, hit in zip(IDS, HITS, strict=True) if hit}


def run_of(tied: bool = False, negative: bool = False) -> dict[str, float]:
    scores = np.full(8, 0.5) if tied else SCORES - negative
    return dict(zip(IDS, scores.tolist(), strict=True))


def pytrec_eval() -> Cells:
    import pytrec_eval as library

    def found(name: str, lonely: bool = False, **how: bool) -> float:
        relevant, run = {"q": RELEVANT}, {"q": run_of(**how)}
        if lonely:
            relevant["p"], run["p"] = {"elsewhere": 1}, run_of()
        results = library.RelevanceEvaluator(relevant, {name}).evaluate(run)
        return float(np.mean([result[name.replace(".", "_")] for result in results.values()]))

    return information_retrieval(found, "P.{}", "recall.{}", "map", "map_cut.{}", "ndcg_cut.{}", "recip_rank")


def ir_measures() -> Cells:
    import ir_measures as library

    def found(name: str, lonely: bool = False, **how: bool) -> float:
        relevant, run = {"q": RELEVANT}, {"q": run_of(**how)}
        if lonely:
            relevant["p"], run["p"] = {"elsewhere": 1}, run_of()
        measure = library.parse_measure(name)
        return float(library.calc_aggregate([measure], relevant, run)[measure])

    return information_retrieval(found, "P@{}", "R@{}", "AP", "AP@{}", "nDCG@{}", "RR")


def information_retrieval(
    found: Callable, precision: str, recall: str, whole: str, cut: str, gain: str, rank: str
) -> Cells:
    return {
        "precision@5": lambda: found(precision.format(5)),
        "precision@20": lambda: found(precision.format(20)),
        "recall@5": lambda: found(recall.format(5)),
        "AP": lambda: found(whole),
        "AP@5": lambda: found(cut.format(5)),
        "AP@3": lambda: found(cut.format(3)),
        "AP@20": lambda: found(cut.format(20)),
        "NDCG@5": lambda: found(gain.format(5)),
        "NDCG@3": lambda: found(gain.format(3)),
        "reciprocal rank": lambda: found(rank),
        "AP, all tied": lambda: found(whole, tied=True),
        "AP, scores negated distances": lambda: found(whole, negative=True),
        "mean AP with a lonely query": lambda: found(whole, lonely=True),
        "mean precision@5 with a lonely query": lambda: found(precision.format(5), lonely=True),
    }


def scikit_learn() -> Cells:
    from sklearn.metrics import average_precision_score, ndcg_score

    return {
        "AP": lambda: average_precision_score(HITS, SCORES),
        "NDCG@5": lambda: ndcg_score(HITS[None], SCORES[None], k=5),
        "NDCG@3": lambda: ndcg_score(HITS[None], SCORES[None], k=3),
        "AP, all tied": lambda: average_precision_score(HITS, np.full(8, 0.5)),
        "AP, scores negated distances": lambda: average_precision_score(HITS, SCORES - 1),
        "mean AP with a lonely query": lambda: np.mean(
            [average_precision_score(hits, SCORES) for hits in (HITS, 0 * HITS)]
        ),
    }


PEERS: dict[str, Callable[[], Cells]] = {
    "torchmetrics": torchmetrics,
    "pytorch-metric-learning": pytorch_metric_learning,
    "open-metric-learning": open_metric_learning,
    "pytrec-eval-terrier": pytrec_eval,
    "ir-measures": ir_measures,
    "scikit-learn": scikit_learn,
}


def cell(figure: Callable[[], float] | None) -> str:
    if figure is None:
        return "-"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = float(figure())
        except Exception as error:
            print(f"  {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
            return "error"
    return "NaN" if np.isnan(value) else f"{value:.3f}"


def table() -> str:
    """Return the table as docs/metrics.md has it."""
    columns = {"ours": ours()} | {f"{name} {version(name)}": peer() for name, peer in PEERS.items()}
    lines = ["| | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for figure in FIGURES:
        lines.append(
            f"| {figure} | " + " | ".join(cell(cells.get(figure)) for cells in columns.values()) + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    found = table()
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    written, _, after = rest.partition(END)
    if "--write" in sys.argv:
        DOCUMENT.write_text(before + BEGIN + found + END + after, encoding="utf-8")
        return 0
    print(found)
    differ = [(a, b) for a, b in zip(written.splitlines(), found.splitlines(), strict=False) if a != b]
    for was, now in differ:
        print(f"docs/metrics.md has  {was}\nand now it is        {now}", file=sys.stderr)
    return 1 if written != found else 0


if __name__ == "__main__":
    sys.exit(main())
