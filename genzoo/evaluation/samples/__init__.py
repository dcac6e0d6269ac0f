"""How good samples are: distances between distributions, precision and recall, obedience to a
condition.
"""
