"""Data sets made here, of which the density is known: points, tins and spins."""
