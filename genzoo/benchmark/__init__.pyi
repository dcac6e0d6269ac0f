from . import report
from .comparison import compare
from .jobs import Observer
from .plan import Plan
from .report.pictures import picture
from .row import Row
from .scorecard import Scorecard, markdown, read, tables, write

__all__ = [
    "Observer",
    "Plan",
    "Row",
    "Scorecard",
    "compare",
    "markdown",
    "picture",
    "read",
    "report",
    "tables",
    "write",
]
