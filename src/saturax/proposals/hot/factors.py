"""Values whose dimensions have labels, and arithmetic on them that repeats nothing.

A tensor that repeats a value along some of its dimensions is a factor with the labels of the
others: g[t, e, c] = v[t] has the one label t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from saturax.graph.build import Value
from saturax.graph.ops import (
    GatherDimensions,
    ScatterDimensions,
    binary,
    broadcast_in_dim,
    concatenate_all,
    gather,
    reshape,
    scatter,
)
from saturax.rules.moves import transposed
from saturax.rules.permutations import permutation_to

Labels = tuple[Any, ...]


class Factor(NamedTuple):
    """A value with a label for each of its dimensions."""

    value: Value
    labels: Labels

    @property
    def sizes(self) -> dict[Any, int]:
        """The size along each label."""
        return dict(zip(self.labels, self.value.shape, strict=True))

    def renamed(self, names: Mapping[Any, Any]) -> Factor:
        """The same value under other labels."""
        return Factor(self.value, tuple(names[label] for label in self.labels))

    def over(self, labels: Labels, sizes: Mapping[Any, int]) -> Value:
        """The value with exactly these labels, repeated along those that it has not."""
        own = tuple(label for label in labels if label in self.labels)
        value = transposed(self.value, permutation_to(self.labels, own))
        shape = tuple(sizes[label] for label in labels)
        found: Value = broadcast_in_dim(value, shape, tuple(labels.index(label) for label in own))
        return found


def union(*factors: Factor) -> tuple[Labels, dict[Any, int]]:
    """The labels of all factors, in order, and their sizes."""
    sizes: dict[Any, int] = {}
    for factor in factors:
        sizes |= factor.sizes
    return tuple(sorted(sizes)), sizes


def combined(f: Any, x: Factor, y: Factor) -> Factor:
    """f of two factors, elementwise."""
    labels, sizes = union(x, y)
    return Factor(binary(f, x.over(labels, sizes), y.over(labels, sizes)), labels)


def read(x: Factor, places: Mapping[Any, Factor]) -> Factor:
    """x at an index along each label in `places`, clamped into bounds.

    Labels that an index shares with x are one: y[t] = x[t, i[t]].
    """
    hot = tuple(label for label in x.labels if label in places)
    if not hot:
        return x
    indices, labels = _indices([places[label] for label in hot])
    shared = tuple(label for label in labels if label in x.labels)
    free = tuple(label for label in x.labels if label not in (*hot, *shared))
    offsets = tuple(range(len(labels), len(labels) + len(free)))
    dropped = tuple(x.labels.index(label) for label in hot)
    d = GatherDimensions(
        offsets,
        tuple(sorted(dropped)),
        tuple(x.labels.index(label) for label in shared),
        tuple(labels.index(label) for label in shared),
        dropped,
        len(labels),
    )
    sizes = tuple(
        n if label in free else 1 for label, n in zip(x.labels, x.value.shape, strict=True)
    )
    return Factor(gather(x.value, indices, d, sizes), (*labels, *free))


def added(x: Factor, updates: Factor, places: Mapping[Any, Factor]) -> Factor:
    """x with updates added at an index along each label in `places`, summed over their others.

    Updates with an index out of bounds are left out.
    """
    hot = tuple(label for label in x.labels if label in places)
    summed = tuple(label for label in updates.labels if label not in x.labels)
    free = tuple(label for label in updates.labels if label in x.labels)
    indices, named = _indices([places[label] for label in hot])
    shared = tuple(label for label in free if label in named)
    windows = tuple(label for label in x.labels if label in free and label not in named)
    rows = (*shared, *summed)
    sizes = updates.sizes | dict(zip(named, indices.shape, strict=False))
    spread = broadcast_in_dim(
        indices,
        (*(sizes[label] for label in rows), len(hot)),
        (*(rows.index(label) for label in named), len(rows)),
    )
    order = (*rows, *windows)
    d = ScatterDimensions(
        tuple(range(len(rows), len(order))),
        tuple(sorted(x.labels.index(label) for label in hot)),
        tuple(x.labels.index(label) for label in shared),
        tuple(rows.index(label) for label in shared),
        tuple(x.labels.index(label) for label in hot),
        len(rows),
    )
    return Factor(scatter("add", x.value, spread, updates.over(order, sizes), d), x.labels)


def _indices(indices: Sequence[Factor]) -> tuple[Value, Labels]:
    """Indices beside one another along a new last dimension, and the labels before that."""
    labels, sizes = union(*indices)
    shape = tuple(sizes[label] for label in labels)
    parts = [reshape(index.over(labels, sizes), (*shape, 1)) for index in indices]
    return concatenate_all(parts, len(shape)), labels
