"""How long work says how far it is: it calls a function, and whoever gave the function shows a bar,
a log, or nothing.
"""

from collections.abc import Callable

Report = Callable[[int, int, str], None]  # done, of how much, and a few words such as "loss 1.23"
