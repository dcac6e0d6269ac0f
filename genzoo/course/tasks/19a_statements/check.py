from genzoo.course.checking import choices

RIGHT = dict(zip("12345678", ("yes", "no", "no", "no", "no", "no", "yes", "no"), strict=True))

WHY = {
    "1": "with 1.96 standard errors, B's true value is at most 1.17 and A's at least 1.23: the "
    "intervals do not overlap.",
    "2": "C's true value is *at most* 1.30. It may well be 1.20, and better than A.",
    "3": "both are bounds. C's may be loose by 0.3 and B's tight; nobody knows.",
    "4": "an estimate may err on either side by more than its ±, which counts noise alone, "
    "and B may truly be at 1.06.",
    "5": "a model without a likelihood may draw the best samples. A dash is no bad value.",
    "6": "their intervals reach from 1.23 to 1.27 and from 1.24 to 1.28: they overlap, and that "
    "decides nothing.",
    "7": "at most 1.15, less 1.05: its gap is at most 0.10, but for ±.",
    "8": "the entropy is 1.05, and nothing can be below it. This says that there is a fault in "
    "how G was evaluated, and nothing about G.",
}


def check(answer):
    other = {"yes": "no", "no": "yes"}
    choices(answer.answers, RIGHT, {item: {other[RIGHT[item]]: WHY[item]} for item in RIGHT})
