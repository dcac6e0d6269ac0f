"""How good samples are.

Distances between distributions, precision and recall, obedience to a condition.
"""
