"""What a comparison shows: tables, plots, pictures and a page."""
