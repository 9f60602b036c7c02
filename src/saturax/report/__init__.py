"""Reports: what was done to a program and why, as data and as text."""
