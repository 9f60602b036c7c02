"""Sorts of a few elements as networks of minima and maxima, which need no calls and no branches.

Floats and pairs get here by their integers (`sort_keys`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from saturax.graph.build import Value
from saturax.graph.ops import binary, concatenate_all, slice_dimension, sort
from saturax.graph.ops.ordering import default_order
from saturax.rules.conditions import INTEGERS
from saturax.rules.rule import BITWISE, need, rule

# XLA:CPU calls a sort of C++ with a comparison for each row: 65,536 rows of three floats take it
# 7.6 ms, of eight 22.7 ms.
_MOST_SORTED = 16


def comparators(count: int) -> Iterator[tuple[int, int]]:
    """Pairs of places to put in order, one after the other, so that `count` values are sorted.

    >>> list(comparators(3))
    [(0, 2), (0, 1), (1, 2)]
    """
    largest = 1 << (count - 1).bit_length() >> 1
    step = largest
    while step:
        reach, rest, distance = largest, 0, step
        while True:
            for low in range(count - distance):
                if low & step == rest:
                    yield low, low + distance
            if reach == step:
                break
            distance, reach, rest = reach - step, reach >> 1, step
        step >>= 1


@rule(
    lambda x, d, o, s: sort(x, d, o, s),
    numerics=BITWISE,
    source="Knuth, The Art of Computer Programming, 5.2.2, Algorithm M (Batcher)",
)
def sort_few_integers(x: Value, d: Any, o: Any, s: Any) -> Value | None:
    """sort x = a network of minima and maxima of the up to 16 integers along the dimension"""
    need(x.dtype in INTEGERS and o[1] == default_order(x.dtype).kind)
    need(1 < x.shape[d] <= _MOST_SORTED and x.size > 0)
    first, second = ("minimum", "maximum") if o[0] == "LT" else ("maximum", "minimum")
    rows = [slice_dimension(x, d, place, place + 1) for place in range(x.shape[d])]
    for low, high in comparators(len(rows)):
        a, b = rows[low], rows[high]
        rows[low], rows[high] = binary(first, a, b), binary(second, a, b)
    return concatenate_all(rows, d)
