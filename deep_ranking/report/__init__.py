"""The report: one page on a model that opens offline, its pictures, and its numbers for programs.

The package has the public name of what it does, so it is called as a function is:
`deep_ranking.report(model, train, test)`, see `page.report`.
"""

import inspect
import sys
from types import ModuleType

from deep_ranking.report.page import report, write_report

__all__ = ["report", "write_report"]
__signature__ = inspect.signature(report)


class _Callable(ModuleType):
    __call__ = staticmethod(report)


sys.modules[__name__].__class__ = _Callable
