"""The report: one page on a model that opens offline, its pictures, and its numbers for programs."""

from deep_ranking.reporting.page import report, write_report

__all__ = ["report", "write_report"]
