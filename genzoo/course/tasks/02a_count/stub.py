"""2a: count all pictures of height x width pixels, where each pixel has one of a few levels."""

import math


def how_many(height: int, width: int, levels: int) -> int:
    """The exact number of different pictures, a whole number."""
    raise NotImplementedError("return how many pictures there are.")


def power_of_ten(height: int, width: int, levels: int) -> float:
    """log10 of that number, also where the number itself is too large for a float."""
    raise NotImplementedError("return the logarithm to base 10.")
