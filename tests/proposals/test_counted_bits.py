"""Words read as counts of the bits of other words."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from equal_sides import found_by
from running import program_of

from saturax.graph.build import GraphBuilder, building
from saturax.graph.ir import Graph
from saturax.graph.ops import binary, convert, full
from saturax.graph.reference import evaluate
from saturax.graph.types import TensorType, is_unsigned, numpy_dtype
from saturax.proposals.counted_bits import count_bits
from saturax.rules.rule import BITWISE

DTYPES = ("i8", "ui8", "i16", "ui16", "i32", "ui32", "i64")
RIGHT = ("shift_right_logical", "shift_right_arithmetic")


def _random_counts(rng, size):
    """Sums of bits of one word, at random places, moved, masked, scaled and converted."""
    type = TensorType((size,), str(rng.choice(DTYPES)))
    builder = GraphBuilder((type,))
    width = 8 * numpy_dtype(type.dtype).itemsize
    with building(builder):
        (x,) = builder.parameters
        bits = rng.permutation(width)[: int(rng.integers(2, width + 1))]
        step = int(rng.choice([1, 1, 2, 4]))
        ones = 0
        for place in range(0, width, step):
            ones |= 1 << place
        total = None
        for bit in bits.tolist():
            moved = binary(str(rng.choice(RIGHT)), x, full(bit, type))
            mask = ones if step > 1 and rng.random() < 0.7 else 1
            signed = mask - (1 << width) if mask >> (width - 1) else mask
            mask = mask if is_unsigned(type.dtype) else signed
            term = binary("and", moved, full(mask, type))
            f = "add" if rng.random() < 0.95 else "subtract"
            total = term if total is None else binary(f, total, term)
        pool = [total]
        for _ in range(int(rng.integers(0, 4))):
            y = pool[-1]
            own = 8 * numpy_dtype(y.dtype).itemsize
            match int(rng.integers(5)):
                case 0:
                    changed = convert(y, str(rng.choice(DTYPES)))
                case 1:
                    by = full(int(rng.integers(0, own)), y.type)
                    changed = binary(str(rng.choice([*RIGHT, "shift_left"])), y, by)
                case 2:
                    changed = binary("and", y, full(int(rng.choice([1, 3, 7, 15, 63])), y.type))
                case 3:
                    changed = binary("multiply", y, full(int(rng.choice([1, 2, 3, 17])), y.type))
                case _:
                    by = full(int(rng.integers(0, own)), y.type)
                    changed = binary("add", y, binary(RIGHT[0], y, by))
            pool.append(changed)
    return builder.finish(pool)


def _words(rng, type):
    limits = np.iinfo(numpy_dtype(type.dtype))
    kind = np.uint64 if is_unsigned(type.dtype) else np.int64
    values = rng.integers(limits.min, limits.max, type.shape, kind, endpoint=True)
    values[:4] = 0, limits.min, limits.max, 1
    return values.astype(numpy_dtype(type.dtype))


def test_both_sides_agree():
    count = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        graph = _random_counts(rng, 64)
        found = found_by(count_bits, graph, BITWISE)
        inputs = [_words(rng, graph.inputs[0])]
        for index, other, _ in found.pairs:
            sides = Graph(graph.inputs, tuple(found.nodes), (index, other))
            with np.errstate(all="ignore"):
                left, right = evaluate(sides, inputs)
            np.testing.assert_array_equal(left, right, f"{sides}")
        count += len(found.pairs)
    assert count > 300


U, S, B = np.ones((4, 5), np.uint32), np.ones((4, 5), np.int32), np.ones((4, 5), np.uint8)


def _in_halves(x):
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    return (x + (x >> 4)) & 0x0F0F0F0F


def _by_product(x):
    return (_in_halves(x) * jnp.uint32(0x01010101)) >> 24


def _by_sums(x):
    x = _in_halves(x)
    x = x + (x >> 8)
    return (x + (x >> 16)) & 0x3F


def _of_a_byte(x):
    x = (x & 0x55) + ((x >> 1) & 0x55)
    x = (x & 0x33) + ((x >> 2) & 0x33)
    return (x & 0x0F) + (x >> 4)


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (_by_product, U),
        (_by_sums, U),
        (_of_a_byte, B),
        (lambda x: sum((x >> i) & 1 for i in range(32)), U),
        (lambda x: sum((x >> i) & 1 for i in range(32)), S),
        (lambda x: sum((x >> i) & 1 for i in (1, 4, 5)), S),
    ],
    ids=["product", "sums", "byte", "each", "each_signed", "some"],
)
def test_idioms(function, argument):
    found = found_by(count_bits, program_of(function, argument).graph, BITWISE)
    output = found.graph.outputs[0]
    (other,) = (j for i, j, _ in found.pairs if i == output)
    node = found.nodes[other]
    while node.attributes[0] != "popcnt":
        assert node.attributes[0][0] == "convert"
        node = found.nodes[node.operands[0]]


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (lambda x: _in_halves(x), U),
        (lambda x: (_in_halves(x) * jnp.uint32(0x01010101)) >> 25, U),
        (lambda x: sum((x >> i) & 3 for i in range(8)), B),
        (lambda x: ((x >> 3) & 1) + ((x >> 3) & 1) + (x & 1), U),
        (lambda x: (x >> 1) + (x >> 2) + (x >> 3), S),
    ],
    ids=["four_counts", "cut_count", "overlapping", "weighted", "signs"],
)
def test_what_counts_no_bits(function, argument):
    """Several counts, one cut in two, bits that count twice, sums with carries."""
    found = found_by(count_bits, program_of(function, argument).graph, BITWISE)
    output = found.graph.outputs[0]
    assert output not in {i for i, _, _ in found.pairs}
