"""Evaluating what a proposal says is equal, and random programs to propose for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from running import program_of

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.ops import (
    DotDimensions,
    Precision,
    add,
    broadcast_in_dim,
    compare,
    divide,
    dot_general,
    full,
    iota,
    multiply,
    negate,
    reduce_,
    reshape,
    select,
    subtract,
    transpose,
    unary,
)
from saturax.graph.ops.elementwise import function_name
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType, is_integer
from saturax.proposals.equality import Equalities
from saturax.rules.rule import ROUNDING, Numerics

Proposal = Callable[[Equalities], None]


def found_by(proposal: Proposal, graph: Graph, numerics: Numerics = ROUNDING) -> Equalities:
    """What a proposal finds in a graph."""
    equalities = Equalities(graph, numerics)
    equalities.reason = "test"
    proposal(equalities)
    return equalities


def operations_of(equalities: Equalities, output: int = -1) -> Counter[str]:
    """Counts of operations of the last alternative to an output, by name."""
    wanted = equalities.graph.outputs[output]
    pending = [[new for old, new, _ in equalities.pairs if old == wanted][-1]]
    needed: set[int] = set()
    while pending:
        index = pending.pop()
        if index not in needed:
            needed.add(index)
            pending += equalities.nodes[index].operands
    nodes = [equalities.nodes[index] for index in needed]
    return Counter(
        function_name(n.attributes[0]) if n.op in ("unary", "binary") else n.op for n in nodes
    )


def assert_sides_agree(equalities: Equalities, inputs: list[Any], tolerance: float = 1e-9) -> None:
    """Evaluate both sides of every equality over the reals (integers: exactly)."""
    pairs = equalities.pairs
    both = tuple(index for pair in pairs for index in pair[:2])
    graph = Graph(equalities.graph.inputs, tuple(equalities.nodes), both)
    values = evaluate(graph, [np.asarray(x) for x in inputs], reals=True)
    for (index, *_), left, right in zip(pairs, values[::2], values[1::2], strict=True):
        if not np.issubdtype(left.dtype, np.inexact):
            np.testing.assert_array_equal(left, right, f"node {index}")
            continue
        scale = 1 + float(np.max(np.abs(left), initial=0))
        np.testing.assert_allclose(right, left, rtol=0, atol=tolerance * scale, err_msg=f"{index}")


def proposed(
    proposal: Proposal, function: Callable[..., Any], *arguments: Any, leaves: bool = False
) -> Equalities:
    """What a proposal finds in a JAX function; both sides are checked to agree.

    With `leaves`, arguments are pytrees of arrays.
    """
    equalities = found_by(proposal, program_of(function, *arguments).graph)
    inputs = jax.tree.leaves(arguments) if leaves else list(arguments)
    assert_sides_agree(equalities, inputs, 1e-6)  # constants are rounded to float32
    return equalities


def random_program(rng: np.random.Generator, dtype: str, operations: int = 8) -> Graph:
    """A graph of contractions, sums, products and movement over a few small parameters."""
    shapes = [tuple(rng.integers(1, 4, rng.integers(0, 4)).tolist()) for _ in range(3)]
    builder = GraphBuilder(tuple(TensorType(shape, dtype) for shape in shapes))
    pool = list(builder.parameters)
    with building(builder):
        for _ in range(operations):
            x, y = (pool[int(rng.integers(max(0, len(pool) - 4), len(pool)))] for _ in range(2))
            pool.append(_RANDOM[int(rng.integers(len(_RANDOM)))](rng, x, y))
        last = pool[-1]
        if last.rank:
            pool.append(reduce_("add", last, (0,)))
    return builder.finish(pool[-2:])


def random_arithmetic(rng: np.random.Generator, dtype: str, operations: int = 16) -> Graph:
    """Sums, products and dots of a few square matrices; what nothing uses is returned."""
    type = TensorType((2, 2), dtype)
    builder = GraphBuilder((type,) * 4)
    pool = list(builder.parameters)
    matrices = DotDimensions((), (), (1,), (0,))
    with building(builder):
        pool += [dot_general(pool[0], x, matrices, Precision(), dtype) for x in pool[1:]]
        if not is_integer(dtype):
            pool += [unary("exponential", unary("tanh", x)) for x in pool[:2]]
        atoms = len(pool)
        for _ in range(operations):
            x = pool[int(rng.integers(len(pool)))]
            y = pool[int(rng.integers(atoms))]
            kinds = (add, add, add, subtract, subtract, multiply, multiply, divide)
            function = kinds[int(rng.integers(len(kinds) - is_integer(dtype)))]
            if rng.random() < 0.2:
                x = _scaled(rng, x, y)
            pool.append(function(x, y) if rng.random() < 0.5 else function(y, x))
    used = {operand for node in builder.nodes for operand in node.operands}
    return builder.finish([value for value in pool if value.index not in used])


def random_inputs(rng: np.random.Generator, graph: Graph) -> list[Any]:
    """Values for the inputs of a random program."""
    found = []
    for type in graph.inputs:
        assert isinstance(type, TensorType)
        values = rng.normal(1.5, 0.5, type.shape) * rng.choice([-1, 1], type.shape)
        if type.dtype.startswith("complex"):
            values = values + 1j * rng.normal(size=type.shape)
        if is_integer(type.dtype):
            values = np.round(3 * values)
        found.append(np.asarray(values))
    return found


def _dot(rng: np.random.Generator, x: Value, y: Value) -> Value:
    """x · y along randomly matched dimensions of one size."""
    batch: list[tuple[int, int]] = []
    contract: list[tuple[int, int]] = []
    left = set(range(y.rank))
    for i in range(x.rank):
        matching = [j for j in left if y.shape[j] == x.shape[i]]
        if matching and rng.random() < 0.7:
            j = int(rng.choice(matching))
            left.discard(j)
            (batch if rng.random() < 0.3 else contract).append((i, j))
    if x.rank + y.rank - len(batch) - 2 * len(contract) > 4:
        return x
    fields = [tuple(p[s] for p in pairs) for pairs in (batch, contract) for s in (0, 1)]
    return dot_general(x, y, DotDimensions(*fields), Precision(), x.dtype)


def _like(rng: np.random.Generator, x: Value, y: Value) -> Value:
    """y in the shape of x: as it is, or some part of it broadcast."""
    if y.shape == x.shape:
        return y
    kept: list[int] = []
    for size in y.shape:
        places = [d for d, n in enumerate(x.shape) if d not in kept and size in (1, n)]
        if not places:
            return broadcast_in_dim(reduce_("add", y, tuple(range(y.rank))), x.shape, ())
        kept.append(int(rng.choice(places)))
    return broadcast_in_dim(y, x.shape, kept)


def _diagonal(rng: np.random.Generator, x: Value, y: Value) -> Value:
    """x where two indices are equal."""
    pairs = [(i, j) for i in range(x.rank) for j in range(i) if x.shape[i] == x.shape[j]]
    if not pairs:
        return x
    i, j = pairs[int(rng.integers(len(pairs)))]
    indices = TensorType(x.shape, "i32")
    mask = compare(iota(i, indices), iota(j, indices), "EQ", "SIGNED")
    return select(mask, x, full(0, x.tensor))


def _reshaped(rng: np.random.Generator, x: Value, y: Value) -> Value:
    """x with two neighbouring dimensions merged, or a new one of size 1."""
    if x.rank < 2 or rng.random() < 0.3:
        place = int(rng.integers(x.rank + 1))
        return reshape(x, (*x.shape[:place], 1, *x.shape[place:])) if x.rank < 4 else x
    place = int(rng.integers(x.rank - 1))
    merged = x.shape[place] * x.shape[place + 1]
    return reshape(x, (*x.shape[:place], merged, *x.shape[place + 2 :]))


def _scaled(rng: np.random.Generator, x: Value, y: Value) -> Value:
    """x times, or divided by, a constant; or its negative."""
    if rng.random() < 0.3:
        return negate(x)
    if rng.random() < 0.5 and not is_integer(x.dtype):
        return divide(x, full(2.5, x.tensor))
    return multiply(x, full(3, x.tensor))


def _summed(rng: np.random.Generator, x: Value, y: Value) -> Value:
    return reduce_("add", x, tuple(d for d in range(x.rank) if rng.random() < 0.5))


def _exponential(rng: np.random.Generator, x: Value, y: Value) -> Value:
    """exp of something of moderate size; integers are left alone."""
    return x if is_integer(x.dtype) else unary("exponential", unary("tanh", x))


_RANDOM: tuple[Callable[[np.random.Generator, Value, Value], Value], ...] = (
    _dot,
    _dot,
    _dot,
    lambda rng, x, y: multiply(x, _like(rng, x, y)),
    lambda rng, x, y: multiply(_like(rng, x, y), x),
    lambda rng, x, y: add(x, _like(rng, x, y)),
    lambda rng, x, y: subtract(_like(rng, x, y), x),
    lambda rng, x, y: transpose(x, rng.permutation(x.rank).tolist()),
    _summed,
    _scaled,
    _diagonal,
    _reshaped,
    _exponential,
)
