"""What is proposed for loops equals them, run by XLA; and what must not be proposed is not."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from running import assert_equal, normal, program_of, run

from saturax.graph.build import prune
from saturax.graph.ir import Graph, Program
from saturax.proposals.equality import Equalities
from saturax.proposals.loops import (
    distribute_loops,
    expose_exponentials,
    fuse_loops,
    resolve_branches,
    unroll_loops,
    walk_cumulations,
)
from saturax.proposals.loops.cut import cheapest_cut
from saturax.proposals.loops.structure import loops_of
from saturax.rules.rule import BITWISE, ROUNDING

WHILE = "stablehlo.while"
X, W, U, H = normal(10, 3), normal(3, 3), normal(3, 3, seed=1), normal(3)


def _proposed(function, arguments, proposals=(distribute_loops,), numerics=ROUNDING):
    """Compare both sides of all equalities; the operations of each proposed side."""
    graph = program_of(function, *arguments).graph
    equalities = Equalities(graph, numerics)
    for proposal in proposals:
        equalities.reason = proposal.__name__
        proposal(equalities)
    sides = zip(*((left, right) for left, right, _ in equalities.pairs), strict=True)
    graphs = [prune(Graph(graph.inputs, tuple(equalities.nodes), side)) for side in sides]
    inputs = [np.asarray(x) for x in jax.tree.leaves(arguments)]
    if graphs:
        expected, found = (run(Program(each), inputs) for each in graphs)
        assert_equal(found, expected)
    return [
        [node.op for node in prune(Graph(graph.inputs, tuple(equalities.nodes), (right,))).nodes]
        for _, right, _ in equalities.pairs
    ]


def _scan(step, first, xs, **options):
    return lax.scan(step, first, xs, **options)


def _rnn(x, w, u, h):
    def step(h, x):
        h = jnp.tanh(x @ w + h @ u)
        return h, h

    return lax.scan(step, h, x)


def _joined_rnn(x, w, u, h):
    def step(h, x):
        h = jnp.tanh(jnp.concatenate([x, h]) @ jnp.concatenate([w, u]))
        return h, h

    return lax.scan(step, h, x)


def _lstm(parameters, x):
    def step(carry, x):
        h, c = carry
        gates = x @ parameters["w"] + h @ parameters["u"] + parameters["b"]
        i, f, g, o = jnp.split(gates, 4, -1)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return lax.scan(step, (jnp.zeros((2, 4)),) * 2, x)


_LSTM = {"w": normal(4, 16), "u": normal(4, 16, seed=1), "b": normal(16)}


def _total(tree):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree))


GONE = {
    "add an invariant": (lambda z, c: lax.fori_loop(0, 16, lambda i, z: z + c, z), H, H),
    "multiply": (lambda z, c: lax.fori_loop(0, 7, lambda i, z: z * c, z), H, H),
    "add the counter": (lambda x: lax.fori_loop(0, 100, lambda i, c: c + i * x, x), np.arange(5)),
    "map of rows": (lambda x, w: lax.map(lambda r: r @ w, x), X, W),
    "map of columns": (lambda x, w: lax.map(lambda r: w @ r, x), X, W),
    "map under vmap": (
        jax.vmap(lambda x: lax.map(lambda r: jnp.dot(r, W) + 1, x)),
        normal(4, 5, 3),
    ),
    "write rows": (lambda x, h: lax.fori_loop(0, 10, lambda i, c: c.at[i].set(x[i] * h), x), X, H),
    "write columns": (
        lambda x: lax.fori_loop(2, 8, lambda i, c: c.at[:, i].set(x[:, i] * 2), x),
        normal(10, 10),
    ),
    "scale rows in place": (
        lambda x, s: lax.fori_loop(0, 10, lambda i, c: c.at[i].multiply(s[i]), x),
        X,
        normal(10),
    ),
    "add to columns in place": (
        lambda x: lax.fori_loop(2, 8, lambda i, c: c.at[:, i].add(x[:, i] * i), x),
        normal(10, 10),
    ),
    "map own rows": (
        lambda x, w: lax.fori_loop(0, 10, lambda i, c: c.at[9 - i].set(jnp.tanh(c[9 - i] @ w)), x),
        X,
        W,
    ),
    "own rows and their sum": (
        lambda x: lax.fori_loop(
            0, 10, lambda i, t: (t[0].at[i].set(2 * t[0][i]), t[1] + t[0][i]), (x, x[0])
        ),
        X,
    ),
    "write blocks backwards": (
        lambda x: lax.fori_loop(
            0,
            5,
            lambda i, c: lax.dynamic_update_slice(
                c, lax.dynamic_slice(x, (2 * i, 0), (2, 3)) * i, (8 - 2 * i, 0)
            ),
            x,
        ),
        X,
    ),
    "write one place": (lambda x: lax.fori_loop(0, 4, lambda i, c: c.at[2].set(x[i]), x), X),
    "cumulative sum": (lambda x: _scan(lambda c, v: (c + v, c + v), jnp.zeros(3), x), X),
    "from the end": (
        lambda x: _scan(lambda c, v: (c + v, (c, c + v)), jnp.zeros(3), x, reverse=True),
        X,
    ),
    "masked sums": (
        lambda x, m: _scan(
            lambda c, t: (
                (
                    jnp.where(t[1], c[0] + t[0], c[0]),
                    jnp.where(t[1], c[1], c[1] - t[0]),
                    jnp.where(t[1] & (t[0] > 0), t[0] * c[2], c[2]),
                    jnp.where(t[0] > 0, jnp.maximum(c[3], t[0]), c[3]),
                ),
                c[0],
            ),
            (x[0],) * 4,
            (x, m),
        ),
        X,
        np.arange(10) % 3 > 0,
    ),
    "maximum so far, of weak type": (
        lambda x: _scan(lambda c, v: (jnp.maximum(c, v),) * 2, jnp.full(3, -jnp.inf), x),
        X,
    ),
    "maximum so far": (lambda x: _scan(lambda c, v: (jnp.maximum(c, v), c), x[0], x), X),
    "one step late": (lambda x: _scan(lambda c, v: (v * 2, c + v), jnp.zeros(3), x), X),
    "one step early": (
        lambda x: _scan(lambda c, v: (v * 2, c + v), jnp.zeros(3), x, reverse=True),
        X,
    ),
    "reductions": (
        lambda x: _scan(
            lambda c, v: (
                (c[0] + v, jnp.maximum(c[1], v), jnp.minimum(c[2], v), c[3] * v, c[4] - v),
                None,
            ),
            (x[0],) * 5,
            x,
        ),
        X,
    ),
    "outer products": (
        lambda x: _scan(lambda c, v: (c - jnp.outer(v, v * 2).T, v.sum()), W, x),
        X,
    ),
    "products so far": (lambda x: _scan(lambda c, v: (c + jnp.outer(v, v), v @ c), W, x), X),
    "gathers": (lambda x, i: lax.map(lambda k: x[k], i), X, np.array([3, 1, 11, -1], np.int32)),
    "updates apart": (
        lambda x, i: lax.map(lambda k: lax.dynamic_update_slice(x, x[:2] * 2, (k, k)), i),
        X,
        np.array([3, 1, 11, -1], np.int32),
    ),
    "sorts": (lambda x: lax.map(lambda a: (jnp.sort(a), lax.top_k(a, 2)), x), normal(4, 5)),
    "images": (
        lambda x, k: lax.map(lambda a: lax.conv_general_dilated(a, k, (1,), "SAME"), x),
        normal(4, 2, 3, 8),
        normal(5, 3, 3),
    ),
    "kernels": (
        lambda x, k: lax.map(lambda a: lax.conv_general_dilated(x, a, (1,), "SAME"), k),
        normal(2, 3, 8),
        normal(4, 5, 3, 3),
    ),
    "images and kernels": (
        lambda x, k: lax.map(lambda a: lax.conv_general_dilated(a[0], a[1], (1,), "SAME"), (x, k)),
        normal(4, 2, 3, 8),
        normal(4, 5, 3, 3),
    ),
    "swapped": (lambda x: lax.fori_loop(0, 5, lambda i, c: (c[1], c[0] * 2), (x, x + 1)), X),
    "moving average": (lambda x, h: _scan(lambda c, v: (0.9 * c + 0.1 * v, None), h, x), X, H),
    "moving averages": (lambda x, h: _scan(lambda c, v: (0.9 * c - v / 4, (c, c * v)), h, x), X, H),
    "discounted from the end": (
        lambda x, h: _scan(lambda c, v: (v + 0.5 * c,) * 2, h, x, reverse=True),
        X,
        H,
    ),
    "streaming mean": (
        lambda x: lax.fori_loop(0, 10, lambda i, m: m + (x[i] - m) / (i + 1.0), jnp.zeros(3)),
        X,
    ),
    "sum of the last two": (
        lambda x: lax.fori_loop(0, 9, lambda i, c: (c[1], c[0] + c[1]), (x, -x * x)),
        X,
    ),
    "momentum": (
        lambda x, h: _scan(
            lambda c, g: ((c[0] - 0.1 * (0.9 * c[1] + g), 0.9 * c[1] + g), c[0]), (h, h * h), x
        ),
        X,
        H,
    ),
    "towards an invariant": (
        lambda x, h: lax.fori_loop(0, 9, lambda i, c: 0.5 * c + 0.5 * jnp.exp(h), x),
        H,
        H,
    ),
}
"""Loops of which nothing is left."""

LEFT = {
    "masks that depend on the sum": (
        lambda x: _scan(lambda c, v: (jnp.where(c < v, c + v @ W, c), v), jnp.zeros(3), x),
        X,
    ),
    "rnn": (_rnn, X, W, U, H),
    "rnn of joined operands": (_joined_rnn, X, W, U, H),
    "joined on the right, in batches": (
        lambda x, w, h: _scan(
            lambda h, x: (
                jnp.tanh(jnp.einsum("bnk,bjk->bjn", w, jnp.concatenate([x, h, x], 2))),
                h,
            ),
            h,
            x,
        ),
        normal(5, 2, 3, 4),
        normal(2, 6, 14),
        normal(2, 3, 6),
    ),
    "gradient of an rnn of joined operands": (
        jax.grad(lambda *a: _total(_joined_rnn(*a)), (0, 1, 2, 3)),
        X,
        W,
        U,
        H,
    ),
    "gradient of an rnn": (jax.grad(lambda *a: _total(_rnn(*a)), (0, 1, 2, 3)), X, W, U, H),
    "lstm": (_lstm, _LSTM, normal(6, 2, 4)),
    "gradient of an lstm": (
        jax.value_and_grad(lambda p, x: _total(_lstm(p, x)), (0, 1)),
        _LSTM,
        normal(6, 2, 4),
    ),
    "steps counted in floats": (  # Adam's bias correction
        lambda x, h: _scan(
            lambda c, v: ((jnp.tanh(c[0] + v * 0.9 ** (c[1] + 1)), c[1] + 1), c[0]), (h, 0.0), x
        ),
        X,
        H,
    ),
    "from the end": (
        lambda x, h: _scan(lambda c, v: (jnp.tanh(c + v @ W), c), h, x, reverse=True),
        X,
        H,
    ),
    "unrolled by two": (
        lambda x, h: _scan(lambda c, v: (jnp.tanh(c + v), c), h, x, unroll=2),
        X[:5],
        H,
    ),
    "twins": (
        lambda x: _scan(
            lambda c, v: ((jnp.tanh(c[0] + v), jnp.tanh(c[1] + v)), c[0] * c[1]),
            (jnp.zeros(3),) * 2,
            x,
        ),
        X,
    ),
    "swapped": (
        lambda x: lax.fori_loop(0, 5, lambda i, c: (c[1], jnp.tanh(c[0])), (x, x + 1)),
        X,
    ),
    "unknown trip count": (
        lambda x, w: lax.while_loop(
            lambda s: (jnp.max(jnp.abs(s[0])) > 1e-3) & (s[1] < 20),
            lambda s: (jnp.tanh(s[0] @ (w @ w) * 0.2 + x @ w), s[1] + 1),
            (x, 0),
        ),
        X,
        W,
    ),
    "nested": (
        lambda x: _scan(
            lambda c, v: (c + 1, _scan(lambda d, w: (jnp.tanh(d + w + c), d), v[0], v)),
            jnp.zeros(()),
            x,
        ),
        normal(4, 5, 3),
    ),
    "read and written": (
        lambda x: lax.fori_loop(1, 10, lambda i, c: c.at[i].set(jnp.sin(c[i - 1]) + x[i]), x),
        X,
    ),
    "own rows and a recurrence": (
        lambda x: lax.fori_loop(
            0, 10, lambda i, t: (t[0].at[i].set(t[0][i] * t[1]), jnp.sin(t[1] + x[i])), (x, x[0])
        ),
        X,
    ),
    "systems that are solved": (  # LAPACK's factorisation has several results
        lambda a, h: _scan(lambda c, v: (jnp.tanh(jnp.linalg.inv(v) @ c), c), h, a),
        normal(5, 3, 3),
        H,
    ),
    "overlapping windows": (
        lambda x: lax.fori_loop(
            0, 8, lambda i, c: lax.dynamic_update_slice(c, x[:2] * i, (i, 0)), x
        ),
        X,
    ),
}
"""Loops with a part that has to stay a loop."""


KEPT = {
    "decays where positive": (
        lambda x: _scan(lambda c, v: (0.9 * jnp.maximum(c, 0) + v, c), jnp.zeros(3), x),
        X,
    ),
    "decays by what it reads": (
        lambda x: _scan(lambda c, v: (c * v + v, None), jnp.zeros(3), x),
        X,
    ),
    "mean beside a recurrence": (
        lambda x: _scan(
            lambda c, v: ((0.9 * c[0] + v, jnp.tanh(c[1] + c[0])), c[0]), (x[0],) * 2, x
        ),
        X,
    ),
}
"""Loops that are nearly linear."""


@pytest.mark.parametrize("name", GONE)
def test_loops_that_are_no_loops(name):
    function, *arguments = GONE[name]
    proposed = _proposed(function, arguments)
    assert proposed
    assert not any(WHILE in operations for operations in proposed)


@pytest.mark.parametrize("name", LEFT)
def test_loops_that_stay(name):
    function, *arguments = LEFT[name]
    proposed = _proposed(function, arguments)
    assert bool(proposed) != (name == "read and written")  # nothing can be moved there
    assert not proposed or any(WHILE in operations for operations in proposed)


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_linear_is_kept(name):
    function, *arguments = KEPT[name]
    assert not _proposed(function, arguments)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_every_trip_count(count, is_reversed):
    def function(x, w):
        def step(carry, v):
            h, total, late = carry
            h = jnp.tanh(v @ w + h)
            return (h, total + jnp.outer(v, h), v * 2), (late + h, total[0, 0])

        return lax.scan(step, (jnp.ones(3), w, w[0]), x, reverse=is_reversed)

    _proposed(function, (normal(count, 3), W), (distribute_loops, unroll_loops))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64", "int8", "uint32"])
def test_every_dtype(dtype):
    with jax.enable_x64(True):
        x = jnp.asarray(np.round(4 * X)).astype(dtype)

        def function(x):
            steps = lambda c, v: ((c[0] + v, c[1] * v, v), (c[0] * 2, c[2] + v))  # noqa: E731
            return lax.scan(steps, (x[0], x[1] * 0 + 1, x[2]), x[:4])

        assert _proposed(function, (x,))


@pytest.mark.parametrize("numerics", [BITWISE, ROUNDING])
def test_rounding_is_only_moved_if_admitted(numerics):
    rounded = [
        (lambda x, w: lax.map(lambda r: r @ w, x), X, W),
        (lambda z, c: lax.fori_loop(0, 16, lambda i, z: z + c, z), H, H),
        (lambda x: _scan(lambda c, v: (c + v, c), jnp.zeros(3), x), X),
    ]
    for function, *arguments in rounded:
        proposed = _proposed(function, arguments, numerics=numerics)
        assert all(WHILE in operations for operations in proposed) == (numerics is BITWISE)
    exact = [
        (lambda x: lax.map(jnp.sin, x), X),
        (lambda x: lax.fori_loop(0, 16, lambda i, z: z + x, x), np.arange(3)),
        (lambda x: _scan(lambda c, v: (jnp.maximum(c, v), None), x[0], x), X),
    ]
    for function, *arguments in exact:
        proposed = _proposed(function, arguments, numerics=numerics)
        assert proposed
        assert not any(WHILE in operations for operations in proposed)


@pytest.mark.parametrize("rnn", [_rnn, _joined_rnn])
def test_the_input_product_leaves_the_loop(rnn):
    graph = program_of(rnn, X, W, U, H).graph
    equalities = Equalities(graph)
    distribute_loops(equalities)
    outside = [n for n in equalities.nodes[len(graph.nodes) :] if n.op == "dot_general"]
    assert [node.type.shape for node in outside] == [(10, 3)]
    loops = [n for n in equalities.nodes[len(graph.nodes) :] if n.op == WHILE]
    assert [3] in [_contracted(loop.attributes[0].regions[1]) for loop in loops]


def _contracted(body):
    """The sizes of what a loop's products contract."""
    dots = [node for node in body.nodes if node.op == "dot_general"]
    return [body.nodes[n.operands[0]].type.shape[n.attributes[0].lhs_contract[0]] for n in dots]


def test_joined_operands_stay_joined_where_bits_count():
    graph = program_of(_joined_rnn, X, W, U, H).graph
    equalities = Equalities(graph, BITWISE)
    distribute_loops(equalities)
    assert not any(n.op == "dot_general" for n in equalities.nodes[len(graph.nodes) :])


def test_weight_gradients_are_one_product():
    def loss(w, x):
        return _total(_rnn(x, w, U, H))

    graph = program_of(jax.grad(loss), W, X).graph
    equalities = Equalities(graph)
    distribute_loops(equalities)
    products = [n for n in equalities.nodes[len(graph.nodes) :] if n.op == "dot_general"]
    contracted = {node.attributes[0].lhs_contract for node in products}
    assert (0,) in contracted  # the iterations


@pytest.mark.parametrize("name", ["twins", "swapped"])
def test_a_loop_that_was_distributed_is_left_alone(name):
    function, *arguments = LEFT[name]
    graph = program_of(function, *arguments).graph
    once = Equalities(graph)
    distribute_loops(once)
    outputs = tuple(right for _, right, _ in once.pairs)
    left = prune(Graph(graph.inputs, tuple(once.nodes), outputs))
    again = Equalities(left)
    distribute_loops(again)
    assert not again.pairs


@pytest.mark.parametrize(
    ("start", "stop", "step", "count"), [(0, 5, 1, 5), (2, 9, 3, 3), (7, 0, -2, 4), (3, 3, 1, 0)]
)
def test_trip_counts_are_known(start, stop, step, count):
    def function(x):
        compare = (lambda s: s[0] < stop) if step > 0 else (lambda s: s[0] > stop)
        state = (jnp.int32(start), x)
        return lax.while_loop(compare, lambda s: (s[0] + step, jnp.sin(s[1])), state)

    (loop,) = loops_of(program_of(function, H).graph)
    assert loop.trip_count == count


def test_trip_counts_that_depend_on_data_are_not():
    def function(x, n):
        return lax.fori_loop(0, n, lambda i, c: jnp.sin(c), x)

    (loop,) = loops_of(program_of(function, H, np.int32(3)).graph)
    assert loop.trip_count is None
    assert _proposed(function, (H, np.int32(0))) == []


@pytest.mark.parametrize(
    ("function", "is_unrolled"),
    [
        (lambda x: lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) + i, x), True),
        (lambda x: lax.fori_loop(0, 1, lambda i, c: jnp.sin(c) + i, x), True),
        (lambda x: lax.fori_loop(0, 100, lambda i, c: jnp.sin(c) + i, x), False),
    ],
)
def test_short_loops_are_written_out(function, is_unrolled):
    assert bool(_proposed(function, (H,), (unroll_loops,))) == is_unrolled


@pytest.mark.parametrize(
    "f", [lax.cumsum, lax.cumprod, lax.cummax, lax.cummin], ids=["sum", "product", "max", "min"]
)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_cumulations_are_walked(f, axis, is_reversed, dtype):
    x = (3 * normal(4, 5, 3)).astype(dtype)
    proposed = _proposed(lambda x: f(x, axis, reverse=is_reversed), (x,), (walk_cumulations,))
    assert len(proposed) == (2 if axis else 1)
    assert all(WHILE in operations and "reduce_window" not in operations for operations in proposed)


def test_cumulations_of_special_values_are_walked():
    x = np.array([[-0.0, 1, -np.inf], [np.nan, 2, 0], [3, -0.0, np.inf]], np.float32)
    for f in (lax.cumsum, lax.cummax, lax.cummin):
        graph = program_of(f, x).graph
        equalities = Equalities(graph)
        walk_cumulations(equalities)
        ((left, right, _),) = equalities.pairs
        sides = prune(Graph(graph.inputs, tuple(equalities.nodes), (left, right)))
        expected, found = run(Program(sides), [x])
        np.testing.assert_array_equal(found, expected)


def test_what_is_no_cumulation_is_not_walked():
    for function in (
        lambda x: lax.reduce_window(x, 0.0, lax.add, (3, 1), (1, 1), "SAME"),
        lambda x: lax.reduce_window(x, 0.0, lax.add, (10, 1), (1, 1), ((8, 1), (0, 0))),
    ):
        assert not _proposed(function, (X,), (walk_cumulations,))
    assert not _proposed(lax.cumsum, (X,), (walk_cumulations,), BITWISE)
    assert _proposed(lax.cummax, (X,), (walk_cumulations,), BITWISE)


def _discounted(rate, x, *, varies=False):
    """Steps that take powers of e^rate, spread over rows; perhaps of what the loop changes."""
    factors = jnp.exp(rate)

    def step(i, carry):
        factors, x = carry
        grown = factors[:, None] ** (jnp.arange(x.shape[1]) - 0.5 * i)
        return (factors * 0.9 if varies else factors), jnp.maximum(x, 0.5 * grown - x)

    return lax.fori_loop(0, 12, step, (factors, x))


def test_powers_in_loops_are_exponentials_where_their_bases_are():
    arguments = 0.1 * H, X.T
    (operations,) = _proposed(_discounted, arguments, (expose_exponentials,))[:1]
    assert WHILE in operations
    graph = program_of(_discounted, *arguments).graph
    equalities = Equalities(graph)
    expose_exponentials(equalities)
    bodies = [
        loop.body for loop in loops_of(Graph(graph.inputs, tuple(equalities.nodes), graph.outputs))
    ]
    powers = [sum(node.attributes[:1] == ("power",) for node in body.nodes) for body in bodies]
    assert powers == [1, 0]


@pytest.mark.parametrize("numerics", [BITWISE, ROUNDING])
def test_powers_of_what_a_loop_changes_stay(numerics):
    varying = lambda rate, x: _discounted(rate, x, varies=True)  # noqa: E731
    assert not _proposed(varying, (0.1 * H, X.T), (expose_exponentials,), numerics)
    assert not _proposed(_discounted, (0.1 * H, X.T), (expose_exponentials,), BITWISE)


BRANCHES = {
    "cheap": (lambda p, x: lax.cond(p > 0, lambda x: x * 2, jnp.sin, x), 1),
    "alike": (lambda p, x: lax.cond(p > 0, lambda x: x @ W, lambda x: x @ W, x), 1),
    "several": (
        lambda p, x: lax.switch(
            p, [lambda x: (x * 2, x), lambda x: (x + 1, x), lambda x: (jnp.cos(x), x)], x
        ),
        1,
    ),
    "heavy": (lambda p, x: lax.cond(p > 0, lambda x: x @ W, lambda x: x, x), 0),
}


@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.parametrize("selector", [-5, 0, 1, 2, 9])
def test_branches(name, selector):
    function, count = BRANCHES[name]
    assert len(_proposed(function, (np.int32(selector), X), (resolve_branches,))) == count


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("prefers_first", [False, True])
def test_cheapest_cut_against_all_cuts(seed, prefers_first):
    rng = np.random.default_rng(seed)
    count = 7
    depends = [tuple(j for j in range(i) if rng.random() < 0.4) for i in range(count)]
    weights = {i: int(rng.integers(1, 5)) for i in range(count)}
    found = cheapest_cut(
        range(count), depends, weights, (0,), (count - 1,), prefers_first=prefers_first
    )

    def cost(first):
        crossing = {j for i in range(count) if i not in first for j in depends[i] if j in first}
        return sum(weights[j] for j in crossing)

    closed = [
        frozenset(first)
        for size in range(1, count)
        for first in itertools.combinations(range(count - 1), size)
        if 0 in first and all(j in first for i in first for j in depends[i])
    ]
    assert found in closed
    assert cost(found) == min(map(cost, closed))


def _smooth(x, h, **options):
    return lax.scan(lambda c, v: (jnp.tanh(c + v * h), c - v), h, x, **options)


def _written_pairs(x):
    def step(i, carry):
        h, written = carry
        h = jnp.tanh(h + i)
        return h, lax.dynamic_update_slice(written, h, (8 - 2 * i, 0))

    return lax.fori_loop(0, 5, step, (x[:2], x))[1]


def _read_pairs(y, x, late=0):
    def step(i, c):
        return jnp.sin(c + lax.dynamic_slice(y, (8 - 2 * i + late, 0), (2, 3)))

    return lax.fori_loop(0, 5, step, x[:2])


FUSED = {
    "in cascade": lambda x, h: _smooth(_smooth(x, h)[1], 2 * h),
    "in cascade from the end": lambda x, h: _smooth(
        _smooth(x, h, reverse=True)[1], h, reverse=True
    )[1],
    "what passes between is a result": lambda x, h: (y := _smooth(x, h), _smooth(y[1], h)[0]),
    "one reads what is read and what is written": lambda x, h: lax.scan(
        lambda c, v: (jnp.sin(c * v[0] + v[1]), c), h, (x, _smooth(x, h)[1])
    ),
    "both directions": lambda x, h: (_smooth(x, h), _smooth(x, 2 * h, reverse=True)),
    "steps of two rows": lambda x, h: _read_pairs(_written_pairs(x), x),
    "counters that differ": lambda x, h: (
        lax.fori_loop(1, 11, lambda i, c: jnp.sin(c + i), h),
        lax.fori_loop(0, 10, lambda i, c: jnp.cos(c + i), h),
    ),
}
"""Pairs of loops that can be one."""

APART = {
    "the second begins where the first ends": lambda x, h: _smooth(x, _smooth(x, h)[0]),
    "the second reads what is written later": lambda x, h: _read_pairs(_written_pairs(x), x, 2),
    "the second reads backwards": lambda x, h: _smooth(_smooth(x, h)[1], h, reverse=True),
    "the second reads all": lambda x, h: _smooth(_smooth(x, h)[1] @ jnp.ones((3, 3)), h),
    "more steps": lambda x, h: (_smooth(x, h), _smooth(x[:9], h)),
}
"""Pairs of loops that have to follow one another, or do not go together."""


@pytest.mark.parametrize("name", FUSED)
def test_loops_become_one(name):
    proposed = _proposed(FUSED[name], (X, H), (fuse_loops,), numerics=BITWISE)
    assert proposed
    assert all(operations.count(WHILE) == 1 for operations in proposed)


@pytest.mark.parametrize("name", APART)
def test_loops_that_stay_apart(name):
    assert not _proposed(APART[name], (X, H), (fuse_loops,))


def test_what_passes_between_fused_loops_is_not_stored():
    graph = program_of(lambda x, h: _smooth(_smooth(x, h)[1], h)[0], X, H).graph
    equalities = Equalities(graph)
    fuse_loops(equalities)
    (loop,) = (n for n in equalities.nodes[len(graph.nodes) :] if n.op == WHILE)
    body = loop.attributes[0].regions[1]
    assert not any(node.op == "dynamic_update_slice" for node in body.nodes)
    assert sum(node.op == "binary" and node.attributes[0] == "add" for node in body.nodes) == 3
