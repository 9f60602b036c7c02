"""Parts of `benchmarks.cost_model`: variants of programs, their times, predictions and scores."""
