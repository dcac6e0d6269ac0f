"""The likelihood of held-out events: exact figures, bounds, and estimates with their errors."""
