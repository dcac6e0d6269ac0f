from .exercise import Exercise, exercises, find
from .judge import Verdict, judge, judge_apart
from .progress import Progress

__all__ = [
    "Exercise",
    "Progress",
    "Verdict",
    "exercises",
    "find",
    "judge",
    "judge_apart",
]
