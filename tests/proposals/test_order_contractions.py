"""Trees of contractions are proposed in their cheapest order."""

from __future__ import annotations

import time
from functools import reduce
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import assert_sides_agree, found_by, proposed
from running import normal, program_of

from saturax.graph.build import prune
from saturax.graph.ir import Graph
from saturax.proposals import propose
from saturax.proposals.contraction_order import given_cost
from saturax.proposals.order_contractions import order_contractions
from saturax.proposals.straighten import without_known_branches
from saturax.proposals.tensor_network import Reading, network_of
from saturax.proposals.usage import used_by_contractions, used_once
from saturax.rules.rule import BITWISE

N = 24


def _best_cost(function, *arguments):
    """The cost of the program in which everything proposed has been taken, where it is cheaper."""
    graph = program_of(function, *arguments).graph
    straight = without_known_branches(graph)
    equalities = found_by(order_contractions, graph if straight is None else straight.graph)
    assert_sides_agree(equalities, list(arguments), 1e-6)
    replaced: dict[int, int] = {}
    for old, new, _ in equalities.pairs:
        best = replaced.get(old, old)
        replaced[old] = min(best, new, key=lambda index: _cost_from(equalities, [index], {}))
    return _cost_from(equalities, equalities.graph.outputs, replaced)


def _cost_from(equalities, roots, replaced):
    """What computing some nodes costs, with others in the place of some."""
    needed, pending = set(), list(roots)
    while pending:
        index = pending.pop()
        index = replaced.get(index, index)
        if index not in needed:
            needed.add(index)
            pending += equalities.nodes[index].operands
    return given_cost(Graph((), tuple(equalities.nodes), ()), needed)


def _cost(function, *arguments):
    graph = prune(program_of(function, *arguments).graph)
    return given_cost(graph, range(len(graph.nodes)))


A, B, C = normal(N, N), normal(N, N, seed=1), normal(N, N, seed=2)
x, y, d = normal(N), normal(N, seed=1), normal(N, seed=2)
U, V, X = normal(N, 2), normal(2, N), normal(N, 3)
S, T = normal(4, N, N), normal(4, N, N, seed=1)

CASES = {
    "matrix chain and vector": (
        lambda a, b, c, v: a @ b @ c @ v,
        lambda a, b, c, v: a @ (b @ (c @ v)),
        (A, B, C, x),
    ),
    "vector first": (lambda v, a, b: v @ (a @ b), lambda v, a, b: (v @ a) @ b, (x, A, B)),
    "low rank": (lambda z, u, v: z @ (u @ v), lambda z, u, v: (z @ u) @ v, (X.T, U, V)),
    "transposes between": (
        lambda a, b, v: (b.T @ a.T).T @ v,
        lambda a, b, v: a @ (b @ v),
        (A, B, x),
    ),
    "reshapes between": (
        lambda a, b, v: ((a @ b).reshape(2, N // 2, N) @ v).reshape(N),
        lambda a, b, v: a @ (b @ v),
        (A, B, x),
    ),
    "sum of a product": (lambda a, b: jnp.sum(a @ b), lambda a, b: a.sum(0) @ b.sum(1), (A, B)),
    "column sums of a product": (lambda a, b: jnp.sum(a @ b, 0), lambda a, b: a.sum(0) @ b, (A, B)),
    "mean of a product": (lambda a, b: jnp.mean(a @ b, 1), lambda a, b: a @ b.mean(1), (A, B)),
    "trace": (lambda a, b: jnp.trace(a @ b), lambda a, b: jnp.sum(a * b.T), (A, B)),
    "trace of an outer product": (
        lambda a, u, v: jnp.trace(a @ jnp.outer(u, v)),
        lambda a, u, v: v @ (a @ u),
        (A, x, y),
    ),
    "diagonal by einsum": (
        lambda z, a: jnp.einsum("ii->i", z @ a @ z.T),
        lambda z, a: jnp.sum((z @ a) * z, 1),
        (B, A),
    ),
    "diagonal of a product": (
        lambda z, a: jnp.diagonal(z @ a @ z.T),
        lambda z, a: jnp.sum((z @ a) * z, 1),
        (B, A),
    ),
    "broadcast products": (
        lambda a, b: jnp.sum(a[:, :, None] * b[None], 1),
        lambda a, b: a @ b,
        (A, B),
    ),
    "outer product": (
        lambda u, v: jnp.sum(jnp.outer(u, v)),
        lambda u, v: u.sum() * v.sum(),
        (x, y),
    ),
    "bilinear form": (
        lambda u, a, v: jnp.sum(jnp.outer(u, v) * a),
        lambda u, a, v: u @ (a @ v),
        (x, A, y),
    ),
    "scaled matrix": (lambda a, z: (2.5 * a) @ z, lambda a, z: 2.5 * (a @ z), (A, X)),
    "scaled by an argument": (
        lambda c, a, z: (c * a) @ z,
        lambda c, a, z: c * (a @ z),
        (np.float32(3), A, X),
    ),
    "divided and negated": (lambda a, z: -(a / 3) @ z, lambda a, z: (a @ z) * (-1 / 3), (A, X)),
    "diagonal matrix": (
        lambda a, d, b, v: a @ jnp.diag(d) @ b @ v,
        lambda a, d, b, v: a @ (d * (b @ v)),
        (A, d, B, x),
    ),
    "identity": (lambda a, v: a @ (jnp.eye(N) @ v), lambda a, v: a @ v, (A, x)),
    "ones": (
        lambda a: a @ jnp.ones((N, N)),
        lambda a: jnp.broadcast_to(a.sum(1)[:, None], (N, N)),
        (A,),
    ),
    "Kronecker product": (
        lambda a, b, v: jnp.kron(a, b) @ v,
        lambda a, b, v: (a @ v.reshape(6, 6) @ b.T).reshape(36),
        (normal(6, 6), normal(6, 6, seed=1), normal(36)),
    ),
    "Khatri-Rao product": (
        lambda a, b, v: (a[:, None] * b[None]).reshape(-1, N) @ v,
        lambda a, b, v: ((a * v) @ b.T).reshape(-1),
        (A, B, x),
    ),
    "low-rank update": (
        lambda z, w, u, v: z @ (w + u @ v),
        lambda z, w, u, v: z @ w + (z @ u) @ v,
        (X.T, A, U, V),
    ),
    "scaled update": (
        lambda z, w, u, v: z @ (w - 0.5 * (u @ v)),
        lambda z, w, u, v: z @ w - 0.5 * ((z @ u) @ v),
        (X.T, A, U, V),
    ),
    "diagonal and low rank": (
        lambda d, u, v: (jnp.diag(d) + u @ u.T) @ v,
        lambda d, u, v: d * v + u @ (u.T @ v),
        (d, U, x),
    ),
    "reflection": (
        lambda v, a: (jnp.eye(N) - 2 * jnp.outer(v, v)) @ a,
        lambda v, a: a - 2 * jnp.outer(v, v @ a),
        (x, A),
    ),
    "batched": (
        jax.vmap(lambda a, b, v: (a @ b) @ v),
        lambda s, t, v: jnp.einsum("bij,bj->bi", s, jnp.einsum("bij,bj->bi", t, v)),
        (S, T, normal(4, N)),
    ),
    "batched vector": (
        jax.vmap(lambda a, b, v: (a @ b) @ v, (None, None, 0)),
        lambda a, b, v: (v @ b.T) @ a.T,
        (A, B, normal(2, N)),
    ),
    "equal batches": (
        lambda a, b: jnp.matmul(jnp.broadcast_to(a, (4, N, N)), jnp.broadcast_to(b, (4, N, N))),
        lambda a, b: jnp.broadcast_to(a @ b, (4, N, N)),
        (A, B),
    ),
    "norm of low rank": (
        lambda u, v: jnp.sum((u @ v) ** 2),
        lambda u, v: jnp.sum((u.T @ u) * (v @ v.T)),
        (U, V),
    ),
    "gradient of a chain": (
        jax.grad(lambda v, a, b: jnp.sum(a @ b @ v)),
        lambda v, a, b: a.sum(0) @ b,
        (x, A, B),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_reaches_the_ideal_cost(name):
    given, ideal, arguments = CASES[name]
    wanted = _cost(ideal, *arguments)
    assert _cost(given, *arguments) > wanted or name == "ones"
    assert _best_cost(given, *arguments) <= 1.1 * wanted


@pytest.mark.parametrize("kind", [np.float64, np.int32, np.complex64])
def test_all_kinds_of_numbers(kind):
    a, b, v = ((5 * z).astype(kind) for z in (A, B, x))
    with jax.enable_x64(True):
        assert proposed(order_contractions, lambda a, b, v: (a @ b) @ v, a, b, v).pairs


def test_narrow_floats_keep_their_types():
    a, b, v = (z.astype(jnp.bfloat16) for z in (A, B, x))
    found = found_by(order_contractions, program_of(lambda a, b, v: (a @ b) @ v, a, b, v).graph)
    assert found.pairs
    new = found.nodes[len(found.graph.nodes) :]
    assert {node.type.dtype for node in new} == {"bf16"}
    # Products in another type than the operands' are left alone.
    wide = lambda a, b, v: jnp.matmul(  # noqa: E731
        jnp.matmul(a, b, preferred_element_type=jnp.float32), v
    )
    assert not found_by(
        order_contractions, program_of(wide, a, b, v.astype(np.float32)).graph
    ).pairs


def test_precision_is_kept():
    def at(precision):
        def function(a, b, v):
            return jnp.matmul(jnp.matmul(a, b, precision=precision), v, precision=precision)

        found = proposed(order_contractions, function, A, B, x)
        return {n.attributes[1].operands for n in found.nodes if n.op == "dot_general"}

    assert len(at("highest")) == len(at(None)) == 1
    mixed = lambda a, b, v: jnp.matmul(a, b, precision="highest") @ v  # noqa: E731
    assert not proposed(order_contractions, mixed, A, B, x).pairs


def test_sums_of_products_become_dots_of_full_precision():
    found = proposed(order_contractions, lambda a, b: jnp.sum(a[:, :, None] * b[None], 1), A, B)
    (dot,) = [node for node in found.nodes if node.op == "dot_general"]
    assert set(dot.attributes[1].operands) == {"HIGHEST"}


@pytest.mark.parametrize("length", range(3, 9))
def test_chains_are_as_cheap_as_dynamic_programming_makes_them(length):
    sizes = np.random.default_rng(length).integers(1, 40, length + 1).tolist()
    matrices = [normal(m, n, seed=m) for m, n in pairwise(sizes)]
    best = np.zeros((length, length))
    for width in range(1, length):
        for i in range(length - width):
            j = i + width
            best[i, j] = min(
                best[i, k] + best[k + 1, j] + 2 * sizes[i] * sizes[k + 1] * sizes[j + 1]
                + 64 * sizes[i] * sizes[j + 1]
                for k in range(i, j)
            )  # fmt: skip
    found = _best_cost(lambda *m: reduce(jnp.matmul, m), *matrices)
    # Products over a dimension of size 1 are elementwise, and priced so.
    assert found <= 1.3 * best[0, -1] + 8 * max(sizes) ** 2


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (lambda a, b: a @ b, (A, B)),
        (lambda a, b, v: (jnp.tanh(a @ b), (a @ b) @ v), (A, B, x)),  # needed elsewhere
        (lambda a, b, v: (a @ b, (a @ b) @ v), (A, B, x)),
        (lambda a, b, v: jnp.tanh(a @ b) @ v, (A, B, x)),
        (lambda a, b, v: a @ (b @ v), (A, B, x)),
        (lambda a: jnp.zeros((0, N)) @ a @ a, (A,)),
    ],
)
def test_nothing_to_gain(function, arguments):
    assert proposed(order_contractions, function, *arguments).pairs == []


def test_a_shared_product_may_go_if_all_its_users_can_do_without():
    function = lambda a, b, v, w: ((a @ b) @ v, w @ (a @ b))  # noqa: E731
    found = proposed(order_contractions, function, A, B, x, y)
    assert {old for old, *_ in found.pairs} == set(found.graph.outputs)


def test_a_factor_that_occurs_twice_is_not_distributed():
    square = lambda w, u, v: jnp.sum((w + u @ v) * (w + u @ v))  # noqa: E731
    proposed(order_contractions, square, A, U, V)  # both sides agree


def test_large_factors_come_in_the_order_of_the_reading():
    graph = prune(program_of(lambda a, b, v: (a @ b) @ v, A, B, x).graph)
    (root,) = graph.outputs
    network = network_of(Reading(graph, used_once(graph)), root)
    assert network is not None
    assert [graph.nodes[f.node].attributes[0] for f in network.factors] == [0, 1, 2]
    assert sorted(network.sizes.values()) == [N, N, N]
    assert all(used_by_contractions(graph)[i] for i in network.interior - {root})


def test_every_bit_counts():
    function = lambda a, b, v: (a @ b) @ v  # noqa: E731
    assert propose(program_of(function, A, B, x).graph, BITWISE).pairs == []
    whole = [(9 * z).astype(np.int32) for z in (A, B, x)]
    assert propose(program_of(function, *whole).graph, BITWISE).pairs != []


def test_large_networks_are_searched_quickly():
    def function(*m):
        return reduce(jnp.matmul, m)

    matrices = [normal(3 + i % 5, 3 + (i + 1) % 5, seed=i) for i in range(30)]
    start = time.process_time()
    assert proposed(order_contractions, function, *matrices)
    joint = jnp.einsum("ab,ac,ad,ae,af,ag,ah,ai,aj,ak,al,am->a", *([A] * 12), optimize=False)
    assert joint.shape == (N,)
    assert time.process_time() - start < 20
