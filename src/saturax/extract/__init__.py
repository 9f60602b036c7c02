"""Extraction: the cheapest program out of an e-graph, anytime, with a bound on what is left."""
