"""Measurements as people read them."""

from collections.abc import Mapping

from deep_ranking.evaluation.metrics import Estimate, Measurement


def readable(name: str, estimate: Estimate) -> str:
    """Return a metric's value and interval: shares in per cent, the score at top K in triplets.

    Example:
        >>> readable("recall@1", Estimate(0.5, 0.25, 1.0))
        '50.0% (25.0 to 100.0)'
        >>> readable("score_at_top_30", Estimate(1234.0, 1.6, 2000.0))
        '1,234 (2 to 2,000)'
    """
    if name.startswith("score_at_top"):
        return f"{estimate.value:,.0f} ({estimate.low:,.0f} to {estimate.high:,.0f})"
    value, low, high = (100 * part for part in estimate)
    return f"{value:.1f}% ({low:.1f} to {high:.1f})"


def table(results: Mapping[str, Measurement]) -> str:
    """Return a line a metric and a column for each that was measured.

    Example:
        >>> print(table({"model": Measurement({"recall@1": Estimate(0.5, 0.25, 1.0)}, {})}))
                  model
        recall@1  50.0% (25.0 to 100.0)
    """
    names = list(dict.fromkeys(name for measured in results.values() for name in measured.metrics))
    rows = [["", *results]]
    for name in names:
        rows.append([name, *(readable(name, measured.metrics[name]) for measured in results.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
