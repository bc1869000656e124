"""The report: one page on a model that opens offline, its pictures, and its numbers for programs."""

from deep_ranking.report.page import write_report

__all__ = ["write_report"]
