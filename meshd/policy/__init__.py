"""Filters that decide, limit or rewrite; one file each; ``catalog.py`` lists them."""
