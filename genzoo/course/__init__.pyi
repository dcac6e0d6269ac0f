from .apart import judge_apart
from .exercise import Exercise, exercises, find
from .judge import Verdict, judge
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
