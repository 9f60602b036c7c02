"""A contraction over a concatenation of several parts equals the sum over its parts."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from running import assert_equal, normal, program_of

from saturax.graph.ir import Graph
from saturax.graph.reference import evaluate
from saturax.proposals.equality import Equalities
from saturax.proposals.split_concatenations import split_concatenations


def _check(function, *arguments):
    """Evaluate both sides of every proposed equality; return how many there were."""
    graph = program_of(function, *arguments).graph
    equalities = Equalities(graph)
    split_concatenations(equalities)
    both = tuple(index for pair in equalities.pairs for index in pair[:2])
    inputs = [np.asarray(x).astype(np.float64) for x in arguments]
    values = evaluate(Graph(graph.inputs, tuple(equalities.nodes), both), inputs)
    for left, right in zip(values[::2], values[1::2], strict=True):
        assert_equal([left], [right], 1e-5)
    return len(equalities.pairs)


@pytest.mark.parametrize(
    ("equation", "axis", "shapes", "other"),
    [
        ("ij,jk->ik", 1, [(5, 2), (5, 1), (5, 4)], (7, 3)),
        ("ji,kj->ik", 0, [(2, 5), (1, 5), (4, 5), (1, 5)], (3, 8)),
        ("bij,bjk->bik", 2, [(2, 5, 2), (2, 5, 3), (2, 5, 1)], (2, 6, 3)),
        ("ijl,jlk->ik", 2, [(2, 3, 1), (2, 3, 2), (2, 3, 1)], (3, 4, 2)),
        ("j,jk->k", 0, [(2,), (3,), (4,)], (9, 2)),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_split_equals_whole(equation, axis, shapes, other, side):
    operands, result = equation.split("->")
    first, second = operands.split(",")

    def function(y, *parts):
        x = jnp.concatenate(parts, axis)
        if side == "left":
            return jnp.einsum(equation, x, y)
        return jnp.einsum(f"{second},{first}->{result}", y, x)

    assert _check(function, normal(*other), *(normal(*shape) for shape in shapes)) == 1


@pytest.mark.parametrize("parts", [2, 9])
def test_few_and_many_parts_stay_whole(parts):
    def function(y, *xs):
        return jnp.concatenate(xs, 1) @ y

    assert _check(function, normal(parts, 3), *(normal(4, 1) for _ in range(parts))) == 0


def test_parts_along_a_free_dimension_stay_whole():
    def function(y, *xs):
        return jnp.concatenate(xs, 0) @ y

    assert _check(function, normal(3, 2), *(normal(4, 3) for _ in range(3))) == 0
