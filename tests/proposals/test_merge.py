"""Merged contractions equal what they stand for, for all places of batch and free dimensions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from running import assert_equal, normal, program_of

from saturax.graph.ir import Graph
from saturax.graph.reference import evaluate
from saturax.proposals.equality import Equalities
from saturax.proposals.merge import merge_contractions
from saturax.proposals.usage import independent_groups


def _check(function, *arguments):
    """Evaluate both sides of every proposed equality; return how many there were."""
    graph = program_of(function, *arguments).graph
    equalities = Equalities(graph)
    merge_contractions(equalities)
    nodes = tuple(equalities.nodes)
    both = tuple(index for pair in equalities.pairs for index in pair[:2])
    inputs = [np.asarray(x).astype(np.float64) for x in arguments]
    values = evaluate(Graph(graph.inputs, nodes, both), inputs)
    for left, right in zip(values[::2], values[1::2], strict=True):
        assert_equal([left], [right], 1e-5)
    return len(equalities.pairs)


def _contract(equation):
    """All operands but the first with the first."""
    return lambda shared, *others: [jnp.einsum(equation, shared, x) for x in others]


@pytest.mark.parametrize(
    ("equation", "shared", "others"),
    [
        ("ij,jk->ik", (3, 4), [(4, 5), (4, 2)]),
        ("ij,kj->ki", (3, 4), [(5, 4), (2, 4), (2, 4)]),
        ("ij,j->i", (3, 4), [(4,), (4,)]),
        ("j,jk->k", (4,), [(4, 3), (4, 2)]),
        ("j,j->", (4,), [(4,), (4,), (4,)]),
        ("bij,bjk->bik", (2, 3, 4), [(2, 4, 5), (2, 4, 1)]),
        ("bij,bj->bi", (2, 3, 4), [(2, 4), (2, 4)]),
        ("bj,bj->b", (2, 4), [(2, 4), (2, 4)]),
        ("bcij,cbjk->bcik", (2, 3, 4, 5), [(3, 2, 5, 2), (3, 2, 5, 3)]),
        ("ij,klj->kli", (3, 4), [(5, 2, 4), (1, 2, 4)]),
        ("i,k->ik", (3,), [(4,), (2,)]),
        ("bi,bk->bik", (2, 3), [(2, 4), (2, 2)]),
        ("ijl,jlk->ik", (3, 4, 2), [(4, 2, 5), (4, 2, 6)]),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_merged_equals_separate(equation, shared, others, side):
    if side == "right":
        operands, result = equation.split("->")
        first, second = operands.split(",")
        function = lambda s, *xs: [  # noqa: E731
            jax.lax.dot_general(x, s, _dimensions(second, first, result)) for x in xs
        ]
    else:
        function = _contract(equation)
    arguments = [normal(*shared), *(normal(*x, seed=i) for i, x in enumerate(others, 1))]
    # Vectors are merged in both orders.
    assert _check(function, *arguments) in (len(others), 2 * len(others))


def _dimensions(left, right, result):
    batch = [c for c in left if c in right and c in result]
    contracted = [c for c in left if c in right and c not in result]
    sides = [[word.index(c) for c in letters] for letters in (contracted, batch)
             for word in (left, right)]  # fmt: skip
    return (sides[0], sides[1]), (sides[2], sides[3])


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (lambda x, y: (x @ y, x @ y), 0),  # the same node
        (lambda x, y: (x @ y) @ y, 0),  # one needs the other
        (lambda x, y: (x @ y, y @ x), 0),  # nothing shared on the same side
        (lambda x, y: (x @ x, x @ y), 2),
        (lambda x, y: (x @ y, (x + 1) @ y, ((x @ y) @ y)), 2),
    ],
)
def test_what_is_merged(function, count):
    assert _check(function, normal(3, 3), normal(3, 3, seed=1)) == count


def test_attributes_must_agree():
    def function(x, y, z):
        return x @ y, jnp.matmul(x, z, precision="highest")

    assert _check(function, normal(3, 3), normal(3, 3, seed=1), normal(3, 3, seed=2)) == 0


def test_recurrence_reads_its_input_weights_once():
    def function(x, h, w, u):
        for t in range(4):
            h = jnp.tanh(x[t] @ w + h @ u)
        return h

    arguments = (normal(4, 2, 3), normal(2, 3), normal(3, 3), normal(3, 3, seed=1))
    assert _check(function, *arguments) == 4


def test_groups_are_independent_and_complete():
    ancestors = {1: 0, 2: 0, 5: 0b0001, 7: 0b0110}
    assert list(independent_groups([1, 2, 5, 7], ancestors)) == [[1, 2]]
    assert list(independent_groups([1, 2], {1: 0, 2: 0})) == [[1, 2]]
    assert list(independent_groups([1], {1: 0})) == []


def test_unequal_types_are_an_error():
    graph = program_of(lambda x: x * 2, normal(3)).graph
    equalities = Equalities(graph)
    equalities.reason = "test"
    merge_contractions(equalities)
    shorter = program_of(lambda x: x * 2, normal(4)).graph
    other = Equalities(shorter).value(0)
    with pytest.raises(TypeError, match="proposal test"):
        equalities.equate(0, other)
