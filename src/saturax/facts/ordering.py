"""What is known of what is sorted, scattered or factored, and of extrema and their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from saturax.facts.model import NOTHING, Facts, Known, Range, tensor_type
from saturax.facts.ranges import range_of, union
from saturax.graph.types import TensorType, TupleType


def sort(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a sorted value."""
    return Known(children[0].known.range)


def scatter(attributes: Any, children: Sequence[Facts], type: TensorType) -> Known:
    """What is known of a value with others written into it, or extrema taken with them."""
    f, (x, _, updates) = attributes[0], children
    first, second = range_of(x), range_of(updates)
    if f not in ("set", "maximum", "minimum") or first is None or second is None:
        return NOTHING
    return Known(union(first, second))


def results(op: str, attributes: Any, children: Sequence[Facts], type: TupleType) -> Known:
    """What is known of each result of an operation with several."""
    x = tensor_type(children[0])
    if op == "sort_pair":
        return Known(results=tuple(Known(child.known.range) for child in children))
    if op == "lu":  # negative only of arguments that are none
        n = min(x.shape[-2:])
        return Known(results=(NOTHING, Known(Range(1, max(n, 1))), Known(Range(0, n))))
    if op == "top_k":
        return Known(results=(Known(children[0].known.range), _places(x.shape[-1])))
    if op == "arg_reduce" and x.shape[attributes[1]] > 0:
        return Known(results=(Known(children[0].known.range), _places(x.shape[attributes[1]])))
    return NOTHING


def _places(n: int) -> Known:
    """Indices of a dimension of size n."""
    return Known(Range(0, max(n - 1, 0)))
