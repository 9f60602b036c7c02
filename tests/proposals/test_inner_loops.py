"""Loops inside of loops leave them where they run equally often in each iteration."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from running import normal, program_of, run

from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.graph.ops import generic_of
from saturax.proposals.equality import Equalities
from saturax.proposals.loops import distribute_loops
from saturax.rules.rule import BITWISE, ROUNDING

WHILE = "stablehlo.while"
X, H = normal(10, 3), normal(3)
KEYS = np.asarray(jax.random.split(jax.random.PRNGKey(0), 10))


def _around(inner):
    """A recurrence that reads what `inner` makes of each row."""
    return lambda h, x: lax.scan(lambda c, v: (jnp.sin(c + inner(v)), c), h, x)


def _rounds(v):
    return lax.fori_loop(0, 4, lambda i, r: jnp.abs(r) * v + i, v)


def _beside_what_is_the_same(v):
    def step(i, carry):
        r, s, t = carry
        return r + t[i], t, s

    return lax.fori_loop(0, 3, step, (v, jnp.arange(3.0), jnp.ones(3)))[0]


def _varies_later(v):
    """What begins as a constant takes in what varies in the second step, as threefry's keys do."""
    start = (jnp.zeros(3), jnp.ones(3), v)
    return lax.fori_loop(0, 5, lambda i, c: (c[1], c[2], c[0] - c[2]), start)[0]


def _twice_nested(v):
    return lax.fori_loop(0, 2, lambda i, r: lax.fori_loop(0, 3, lambda j, q: q * v + i, r), v)


LEAVING = {
    "rounds": (_around(_rounds), H, X),
    "random draws": (_around(lambda key: jax.random.uniform(key, (3,))), H, KEYS),
    "beside what is the same": (_around(_beside_what_is_the_same), H, X),
    "varies later": (_around(_varies_later), H, X),
    "twice nested": (_around(_twice_nested), H, X),
}

STAYING = {
    "as often as a row says": (
        _around(lambda v: lax.fori_loop(0, v[0].astype(int) + 2, lambda i, r: r + v, v)),
        H,
        X,
    ),
    "until it is large": (
        _around(lambda v: lax.while_loop(lambda r: r[0] < 9, lambda r: r + 1, v)),
        H,
        X,
    ),
    "a loop in it until it is large": (
        _around(
            lambda v: lax.fori_loop(
                0, 3, lambda i, r: lax.while_loop(lambda s: s[0] < 9, lambda s: 3 * s + 1, r) + i, v
            )
        ),
        H,
        X,
    ),
    "from what is carried": (
        lambda h, x: lax.scan(
            lambda c, v: (lax.fori_loop(0, 3, lambda i, r: jnp.sin(r) + v, c), c), h, x
        ),
        H,
        X,
    ),
}


def _through_many(width):
    """A loop whose body computes `width` times what it carries."""

    def step(i, r):
        weights = jnp.sin(jnp.arange(4.0 * width)).reshape(4, width)
        return jnp.tanh(jnp.tanh(r @ weights) @ weights.T)

    return lambda v: lax.fori_loop(0, 10, step, v)


def _beside_much_that_is_the_same(v):
    """A loop that carries a megabyte along, which no iteration of the outer one changes."""
    start = (v, jnp.sin(jnp.arange(1 << 18, dtype=jnp.float32)))
    return lax.fori_loop(0, 10, lambda i, c: (jnp.abs(c[0]) + c[1][i], c[1] + 1), start)[0]


def _proposed(function, arguments):
    """What is said to be equal in every bit: pairs of programs of the same inputs."""
    graph = program_of(function, *arguments).graph
    equalities = Equalities(graph, BITWISE)
    equalities.reason = "distribute_loops"
    distribute_loops(equalities)
    nodes = tuple(equalities.nodes)
    return [
        tuple(Program(prune(Graph(graph.inputs, nodes, (side,)))) for side in pair[:2])
        for pair in equalities.pairs
    ]


def _loops_inside(program):
    """How many loops are in the bodies of a program's loops."""
    bodies = [generic_of(node).regions[1] for node in program.graph.nodes if node.op == WHILE]
    return sum(node.op == WHILE for body in bodies for node in body.nodes)


@pytest.mark.parametrize("name", LEAVING)
def test_loops_leave_the_loops_around_them(name):
    function, *arguments = LEAVING[name]
    proposed = _proposed(function, arguments)
    inputs = [np.asarray(x) for x in arguments]
    for before, after in proposed:
        np.testing.assert_array_equal(run(after, inputs), run(before, inputs))
    least = min(_loops_inside(after) for _, after in proposed)
    assert least == (name == "twice nested")  # one leaves with the loop in its body
    assert all(_loops_inside(before) for before, _ in proposed)


@pytest.mark.parametrize("name", STAYING)
def test_loops_that_run_as_often_as_data_says_stay(name):
    function, *arguments = STAYING[name]
    assert all(_loops_inside(after) for _, after in _proposed(function, arguments))


@pytest.mark.parametrize(
    ("inner", "count", "leaves"),
    [
        (_through_many(8), 1 << 19, True),
        (_through_many(512), 1 << 14, True),
        (_through_many(512), 1 << 19, False),  # 1 GiB at once
        (_beside_much_that_is_the_same, 1 << 12, True),
    ],
)
def test_loops_stay_where_all_iterations_at_once_take_much_memory(inner, count, leaves):
    xs = jax.ShapeDtypeStruct((count, 4), jnp.float32)
    graph = program_of(lambda xs: lax.scan(lambda c, v: (c, inner(v)), 0, xs)[1], xs).graph
    equalities = Equalities(graph, ROUNDING)
    equalities.reason = "distribute_loops"
    distribute_loops(equalities)
    assert bool(equalities.pairs) == leaves
