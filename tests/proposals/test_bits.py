"""Words read as moved bits of other words."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by
from running import program_of

from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph
from saturax.graph.ops import binary, convert, full, unary
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.proposals.bits import move_bits
from saturax.rules.rule import BITWISE

DTYPES = ("i8", "ui8", "i16", "ui16", "i32", "ui32", "i64")
SHIFTS = ("shift_left", "shift_right_logical", "shift_right_arithmetic")


def _random_words(rng, size):
    """Shifts, masks, sums, quotients by powers of two and conversions of a few words."""
    types = [TensorType((size,), str(rng.choice(DTYPES))) for _ in range(2)]
    builder = GraphBuilder((*types, TensorType((size,), "i1")))
    with building(builder):
        pool = [*builder.parameters[:2], convert(builder.parameters[2], types[0].dtype)]
        for _ in range(12):
            x = pool[int(rng.integers(max(0, len(pool) - 5), len(pool)))]
            y = convert(pool[int(rng.integers(len(pool)))], x.dtype)
            width = 8 * numpy_dtype(x.dtype).itemsize
            bits = int(rng.integers(0, 1 << min(width - 1, 31)))
            match int(rng.integers(6)):
                case 0:
                    f = str(rng.choice(["and", "or", "xor", "add", "subtract"]))
                    pool.append(binary(f, x, y))
                case 1 | 2:
                    by = full(int(rng.integers(0, width)), x.type)
                    pool.append(binary(str(rng.choice(SHIFTS)), x, by))
                case 3:
                    f = str(rng.choice(["and", "or", "xor"]))
                    pool.append(binary(f, x, full(bits, x.type)))
                case 4:
                    power = full(1 << int(rng.integers(0, width - 1)), x.type)
                    f = str(rng.choice(["multiply", "divide", "remainder"]))
                    pool.append(binary(f, x, power))
                case _:
                    is_not = rng.random() < 0.3
                    changed = unary("not", x) if is_not else convert(x, str(rng.choice(DTYPES)))
                    pool.append(changed)
    return builder.finish(pool[-3:])


def _inputs(rng, graph):
    found = []
    for type in graph.inputs:
        if type.dtype == "i1":
            found.append(rng.random(type.shape) < 0.5)
            continue
        limits = np.iinfo(numpy_dtype(type.dtype))
        kind = np.uint64 if is_unsigned(type.dtype) else np.int64
        values = rng.integers(limits.min, limits.max, type.shape, kind, endpoint=True)
        values[:4] = 0, limits.min, limits.max, 1
        found.append(values.astype(numpy_dtype(type.dtype)))
    return found


def test_both_sides_agree():
    count = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        graph = _random_words(rng, 64)
        found = found_by(move_bits, graph, BITWISE)
        inputs = _inputs(rng, graph)
        for index, other, _ in found.pairs:
            sides = Graph(graph.inputs, tuple(found.nodes), (index, other))
            with np.errstate(all="ignore"):
                left, right = evaluate(sides, inputs)
            np.testing.assert_array_equal(left, right, f"{sides}")
        count += len(found.pairs)
    assert count > 200


U, B = np.ones((4, 5), np.uint32), np.ones((4, 5), np.uint8)


def _turned(x, k):
    return (x << np.uint32(k)) | (x >> np.uint32(32 - k))


@pytest.mark.parametrize(
    ("function", "arguments", "operations"),
    [
        (lambda x: _turned(_turned(x, 13), 19), (U,), 0),
        (lambda x: _turned(_turned(x, 7), 9), (U,), 3),
        (lambda x, y: _turned(x, 5) ^ _turned(y, 5), (U, U), 4),
        (lambda a, b: ((a.astype(jnp.uint32) << 8) | b.astype(jnp.uint32)) >> 8, (B, B), 1),
        (lambda x: (x & 15) | 240 | 15, (U,), 0),
    ],
    ids=["back", "twice", "both", "packed", "set"],
)
def test_operations_left(function, arguments, operations):
    found = found_by(move_bits, program_of(function, *arguments).graph)
    output = found.graph.outputs[0]
    (other,) = (j for i, j, _ in found.pairs if i == output)
    pending, seen = [other], set()
    while pending:
        index = pending.pop()
        node = found.nodes[index]
        if node.op in ("unary", "binary") and index not in seen:
            seen.add(index)
            pending += node.operands
    assert len(seen) == operations


def test_signs_are_kept():
    """An arithmetic shift of what may be negative moves no zeros in."""
    graph = program_of(lambda x: (x >> 4) << 4 >> 4, U.astype(np.int32)).graph
    assert not found_by(move_bits, graph).pairs
