"""Whole programs are compiled, timed against the original, and chosen."""
