"""2a: count all pictures."""

import math


def how_many(height: int, width: int, levels: int) -> int:
    return levels ** (height * width)


def power_of_ten(height: int, width: int, levels: int) -> float:
    return height * width * math.log10(levels)
