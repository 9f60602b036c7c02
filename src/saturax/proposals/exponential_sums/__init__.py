"""log Σ exp of sums over different indices, as the logarithm of a product of exponentials."""

from saturax.proposals.exponential_sums.products import multiply_exponentials

__all__ = ["multiply_exponentials"]
