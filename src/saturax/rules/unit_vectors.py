"""Products with constant vectors that have a single element other than 0: one row or column."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    constant,
    dot_general,
    full,
    multiply,
    reshape,
    slice_dimension,
)
from saturax.graph.types import TensorType
from saturax.rules.arithmetic import is_uniform
from saturax.rules.conditions import INTEGERS, REALS
from saturax.rules.facts import has_numbers
from saturax.rules.permutations import without
from saturax.rules.rule import ROUNDING, Examples, need, rule

SOURCE = "a·eⱼ is column j of a"


def _example(is_left: bool) -> Examples:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        shape = tuple(int(n) for n in rng.integers(2, 5, rng.integers(1, 4)))
        axis = int(rng.integers(0, len(shape)))
        vector = np.zeros(shape[axis])
        vector[rng.integers(0, shape[axis])] = rng.choice([1.0, 2.5])
        pair = ((0,), (axis,)) if is_left else ((axis,), (0,))
        d = DotDimensions((), (), *pair)
        return {"c": Literal(vector), "x": TensorType(shape, "f64"), "d": d, "t": "f64"}

    return draw


def _picked(x: Value, axis: int, c: Literal, t: str) -> Value:
    """The sum of x · c along the axis; the rule does not apply where it has several terms."""
    need(is_uniform(t, x) and c.type.dtype == t and (t in REALS or t in INTEGERS))
    need(c.type.rank == 1 and not c.is_splat and has_numbers(x))
    places = np.flatnonzero(c.array)
    need(len(places) == 1 and c.type.shape[0] > 1)
    place = int(places[0])
    row = slice_dimension(x, axis, place, place + 1)
    found = reshape(row, [x.shape[k] for k in without(range(x.rank), (axis,))])
    value = c.array[place]
    return found if value == 1 else multiply(found, full(value, found.tensor))


@rule(
    lambda x, c, d, p, t: dot_general(x, constant(c), d, p, t),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=_example(False),
)
def dot_with_unit_vector(x: Value, c: Literal, d: Any, p: Precision, t: str) -> Value | None:
    """x · eⱼ = x[j], scaled where eⱼ is, for a constant with one element other than 0"""
    d = DotDimensions(*d)
    need(not d.lhs_batch and len(d.lhs_contract) == 1)
    return _picked(x, d.lhs_contract[0], c, t)


@rule(
    lambda c, x, d, p, t: dot_general(constant(c), x, d, p, t),
    numerics=ROUNDING,
    source=SOURCE,
    uses_facts=True,
    examples=_example(True),
)
def dot_of_unit_vector(c: Literal, x: Value, d: Any, p: Precision, t: str) -> Value | None:
    """eⱼ · x = x[j], scaled where eⱼ is, for a constant with one element other than 0"""
    d = DotDimensions(*d)
    need(not d.lhs_batch and len(d.lhs_contract) == 1)
    return _picked(x, d.rhs_contract[0], c, t)
