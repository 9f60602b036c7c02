"""Benchmarks of saturax: workloads as code, checks of them, and the scripts that time them."""
