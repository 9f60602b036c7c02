"""Optimised programs on disk: files, what they hold, and moving them between machines."""
