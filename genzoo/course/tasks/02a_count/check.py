import math
from itertools import product

from genzoo.course.checking import NotYet, agree, require

SMALL = [(1, 3, 2), (2, 2, 3), (2, 3, 2), (3, 2, 3)]  # small enough to list them all
DIGITS = (8, 8, 17)
PHOTOGRAPH = (1000, 1500, 256)


def check(answer):
    for height, width, levels in SMALL:
        pixels = height * width
        listed = sum(1 for _ in product(range(levels), repeat=pixels))
        agree(
            answer.how_many(height, width, levels),
            listed,
            f"number of pictures of {height}x{width} pixels with {levels} levels",
            {
                "each pixel multiplies the number by the levels; it does not add to it.": (
                    pixels * levels
                ),
                "base and exponent have changed places: each pixel chooses among the levels.": (
                    pixels**levels
                ),
                "count pixels, not rows or columns.": levels**height,
            },
        )
    count = answer.how_many(*DIGITS)
    require(
        isinstance(count, int),
        f"Your number of digits is a {type(count).__name__}, which keeps only its first 16 places. "
        "Compute it with whole numbers.",
    )
    require(
        divmod(count, 17**63) == (17, 0),
        "Your number for 8x8 pixels with 17 levels is not exact: compute it with whole numbers.",
    )

    check_power(answer, len(str(count)))


def check_power(answer, decimal_digits):
    one = answer.power_of_ten(1, 1, 256)
    agree(
        one,
        math.log10(256),
        "power of ten of one pixel with 256 levels",
        {
            "that is the natural logarithm; the base here is 10.": math.log(256),
            "that is the logarithm to base 2; the base here is 10.": math.log2(256),
            "that is the number itself; its logarithm is asked for.": 256.0,
        },
    )
    power = answer.power_of_ten(*DIGITS)
    require(
        decimal_digits - 1 <= power < decimal_digits,
        f"Your power of ten of 8x8 pixels with 17 levels is {power:.4g}. The number has "
        f"{decimal_digits} decimal digits, so it lies between 10^{decimal_digits - 1} and "
        f"10^{decimal_digits}.",
    )
    try:
        power = answer.power_of_ten(*PHOTOGRAPH)
    except OverflowError:
        raise NotYet(
            "The number of photographs does not fit into a float. "
            "Take the logarithm before you take the power."
        ) from None
    height, width, _ = PHOTOGRAPH
    agree(power, height * width * one, "power of ten of photographs", tolerance=1e-6)
