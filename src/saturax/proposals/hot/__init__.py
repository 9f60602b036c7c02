"""Products with tensors that are 0 but at a few computed places, as reads and writes there."""

from saturax.proposals.hot.products import read_hot_places

__all__ = ["read_hot_places"]
