"""saturax: equality saturation for JAX programs, with a global performance model."""
