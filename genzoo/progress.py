"""The type of progress callbacks: ``callback(done, total, message)``."""

from collections.abc import Callable

# done, of how much, and a few words such as "loss 1.23"
Progress = Callable[[int, int, str], None]
