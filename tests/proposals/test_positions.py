"""Choices by the place of a condition among others."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by
from running import PREDICTED, normal, program_of, run

import saturax
from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.proposals.positions import ask_conditions
from saturax.rules.rule import BITWISE

X, Y = normal(4, 5), normal(4, 5, seed=1)
X[0, :3] = 0, 1, np.nan


def _by_hand(x, y):
    """The first condition is no constant, so that it counts where it is true, too."""
    place = jnp.argmax(jnp.stack([x > 1, x > 0, y > 0]), axis=0)
    return jnp.where(place < 1, x, jnp.where(place == 1, y, x * y))


def _select(x, y):
    return jnp.select([x > 1, y > 0, x > 0], [x, y, x + y], 7.0)


def _piecewise(x, y):
    return jnp.piecewise(x, [x < 1, x < 0], [lambda t: t + 1, lambda t: -t, 3.0])


@pytest.mark.parametrize("function", [_by_hand, _select, _piecewise])
def test_both_sides_agree(function):
    found = found_by(ask_conditions, program_of(function, X, Y).graph, numerics=BITWISE)
    assert found.pairs
    for index, other, _ in found.pairs:
        graph = found.graph
        sides = [prune(Graph(graph.inputs, tuple(found.nodes), (i,))) for i in (index, other)]
        expected, values = (run(Program(side), [X, Y]) for side in sides)
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: jnp.where(jnp.argmax(jnp.stack([x, y]), axis=0) < 1, x, y),
        lambda x, y: jnp.where(jnp.argmax(x > 0, axis=0) < 1, x[0], y[0]),
        lambda x, y: jnp.where(jnp.argmin(jnp.stack([x > 0, y > 0]), axis=0) < 1, x, y),
    ],
    ids=["numbers", "not_stacked", "argmin"],
)
def test_other_places_are_left_alone(function):
    assert not found_by(ask_conditions, program_of(function, X, Y).graph).pairs


@pytest.mark.parametrize("function", [_by_hand, _select, _piecewise])
def test_nothing_is_left_of_the_stack(function):
    result = saturax.optimize(function, X, Y, options=PREDICTED)
    assert "concatenate" not in result.to_stablehlo()
    assert result.report.rules["ask_conditions"]
