"""The quality of samples: distances, precision and recall, fidelity to a condition."""
