"""The report of a comparison: tables, plots, pictures and a page."""
