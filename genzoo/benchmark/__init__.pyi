from . import report
from .plan import Plan, plan
from .report.page import write_report
from .report.pictures import picture
from .scorecard import markdown, read, summarise, write

__all__ = [
    "Plan",
    "markdown",
    "picture",
    "plan",
    "read",
    "report",
    "summarise",
    "write",
    "write_report",
]
