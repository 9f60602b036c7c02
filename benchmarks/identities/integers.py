"""Integer arithmetic and bits, as in the peephole lists of compilers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .row import Identity, N, integers

X = Y = integers(N, N)
U = integers(N, N, low=0, below=1 << 20, dtype="uint32")
P = integers(N, N, low=1, below=100)
BYTES = integers(N, N, low=0, below=256, dtype="uint8")


def _rotated(x: jax.Array, by: int) -> jax.Array:
    return (x << np.uint32(by)) | (x >> np.uint32(32 - by))


def _without_gray_code(x: jax.Array) -> jax.Array:
    for by in (1, 2, 4, 8):
        x = x ^ (x >> np.uint32(by))
    return x


def _ones_by_halves(x: jax.Array) -> jax.Array:
    x = x - ((x >> 1) & np.uint32(0x55555555))
    x = (x & np.uint32(0x33333333)) + ((x >> 2) & np.uint32(0x33333333))
    x = (x + (x >> 4)) & np.uint32(0x0F0F0F0F)
    return (x * np.uint32(0x01010101)) >> 24


ROWS = (
    Identity("sum_of_multiples", lambda x: 3 * x + 5 * x, lambda x: 8 * x, (X,)),
    Identity("multiplied_by_powers", lambda x: (x * 4) * 8, lambda x: x << 5, (X,)),
    Identity("shifted_twice", lambda x: (x << 2) << 3, lambda x: x << 5, (X,)),
    Identity("unsigned_division", lambda x: x // 8, lambda x: x >> 3, (U,)),
    Identity("unsigned_remainder", lambda x: x % 8, lambda x: x & 7, (U,)),
    Identity("floored_division", lambda x: x // 8, lambda x: x >> 3, (X,)),
    Identity("floored_remainder", lambda x: x % 8, lambda x: x & 7, (X,)),
    Identity("quotient_and_remainder", lambda x: (x // 8) * 8 + x % 8, lambda x: x, (X,)),
    Identity(
        "unsigned_quotient_and_remainder", lambda x: (x // 10) * 10 + x % 10, lambda x: x, (U,)
    ),
    Identity(
        "remainder_by_product",
        lambda x, y: x - (x // y) * y,
        lambda x, y: x % y,
        (U, U),
        note="no remainder by 0",
    ),
    Identity("cancelled", lambda x, y: (x + y) - y, lambda x, y: x, (X, Y)),
    Identity("zero_product", lambda x, y: x * 0 + y, lambda x, y: y, (X, Y)),
    Identity("difference_of_self", lambda x, y: (x - x) * y + x, lambda x, y: x, (X, Y)),
    Identity("complement_plus_one", lambda x: ~x + 1, lambda x: -x, (X,)),
    Identity("complement_of_decrement", lambda x: ~(x - 1), lambda x: -x, (X,)),
    Identity("subtract_by_complement", lambda x, y: x + ~y + 1, lambda x, y: x - y, (X, Y)),
    Identity("complement_of_negated", lambda x: ~(-x), lambda x: x - 1, (X,)),
    Identity("exclusive_or_twice", lambda x, y: (x ^ y) ^ y, lambda x, y: x, (X, Y)),
    Identity("split_bits", lambda x, y: (x & y) | (x & ~y), lambda x, y: x, (X, Y)),
    Identity("absorbed_bits", lambda x, y: (x | y) & x, lambda x, y: x, (X, Y)),
    Identity("masks", lambda x: (x & 0xFF) & 0x0F, lambda x: x & 0x0F, (X,)),
    Identity("disjoint_masks", lambda x, y: ((x & 0xF0) & 0x0F) + y, lambda x, y: y, (X, Y)),
    Identity("sum_by_bits", lambda x, y: (x & y) + (x | y), lambda x, y: x + y, (X, Y)),
    Identity("sum_by_carry", lambda x, y: (x ^ y) + 2 * (x & y), lambda x, y: x + y, (X, Y)),
    Identity(
        "exclusive_or_by_difference", lambda x, y: (x | y) - (x & y), lambda x, y: x ^ y, (X, Y)
    ),
    Identity("clear_bits", lambda x, y: x - (x & y), lambda x, y: x & ~y, (X, Y)),
    Identity("round_down", lambda x: (x >> 4) << 4, lambda x: x & ~15, (X,)),
    Identity("absolute_of_negated_integer", lambda x: abs(-x), lambda x: abs(x), (X,)),
    Identity(
        "minimum_plus_maximum",
        lambda x, y: jnp.minimum(x, y) + jnp.maximum(x, y),
        lambda x, y: x + y,
        (X, Y),
    ),
    Identity("factor_integers", lambda x, y: x * y + x, lambda x, y: x * (y + 1), (X, Y)),
    Identity(
        "square_difference", lambda x, y: x * x - y * y, lambda x, y: (x - y) * (x + y), (X, Y)
    ),
    Identity("parity", lambda x: (x % 2) == 0, lambda x: (x & 1) == 0, (X,)),
    Identity("comparison_shifted", lambda x, y: (x ^ y) == 0, lambda x, y: x == y, (X, Y)),
    Identity("comparison_of_difference", lambda x, y: (x - y) == 0, lambda x, y: x == y, (X, Y)),
    Identity(
        "comparison_of_sum", lambda x, y, z: (x + z) == (y + z), lambda x, y, z: x == y, (X, Y, X)
    ),
    Identity("strict_by_increment", lambda x: (x < 5) | (x == 5), lambda x: x <= 5, (X,)),
    Identity("negation_by_complement", lambda x: ~x + 1, lambda x: -x, (X,)),
    Identity("swap_by_exclusive_or", lambda x, y: (x ^ y) ^ x, lambda x, y: y, (X, Y)),
    Identity("even_test", lambda x: (x & 1) == 0, lambda x: ~(x & 1) & 1 == 1, (X,)),
    Identity("modulus_of_shifted_modulus", lambda x: ((x % 16) + 16) % 16, lambda x: x & 15, (X,)),
    Identity("modulus_of_multiple", lambda x: (2 * x) % 2, lambda x: jnp.zeros_like(x), (X,)),
    Identity("modulus_of_index", lambda x, y: (32 * x + y) % 32, lambda x, y: y & 31, (X, Y)),
    Identity(
        "absolute_by_sign_mask", lambda x: (x ^ (x >> 31)) - (x >> 31), lambda x: jnp.abs(x), (X,)
    ),
    Identity("zero_as_float", lambda x: x.astype(jnp.float32) == 0, lambda x: x == 0, (X,)),
    Identity("rotated_back", lambda x: _rotated(_rotated(x, 13), 19), lambda x: x, (U,)),
    Identity(
        "rotated_differences",
        lambda x, y: _rotated(x, 5) ^ _rotated(y, 5),
        lambda x, y: _rotated(x ^ y, 5),
        (U, U),
    ),
    Identity(
        "packed_bytes",
        lambda a, b: ((a.astype(jnp.uint32) << 8) | b.astype(jnp.uint32)) >> 8,
        lambda a, b: a.astype(jnp.uint32),
        (BYTES, BYTES),
    ),
    Identity(
        "gray_code_undone",
        lambda x: _without_gray_code((x & 0xFFFF) ^ ((x & 0xFFFF) >> np.uint32(1))),
        lambda x: x & 0xFFFF,
        (U,),
    ),
    Identity(
        "minimum_by_masks",
        lambda x, y: y ^ ((x ^ y) & -(x < y).astype(jnp.int32)),
        lambda x, y: jnp.minimum(x, y),
        (X, Y),
    ),
    Identity(
        "comparison_of_scaled_bytes",
        lambda x: (x.astype(jnp.int32) * 3) < 30,
        lambda x: x < 10,
        (BYTES,),
    ),
    Identity(
        "ones_of_rotated_word",
        lambda x: lax.population_count((x << 3) | (x >> 29)),
        lambda x: lax.population_count(x),
        (integers(N, N, low=0, below=1 << 30, dtype="uint32"),),
    ),
    Identity(
        "ones_of_half_words",
        lambda x: lax.population_count(x & np.uint32(0xFFFF)) + lax.population_count(x >> 16),
        lambda x: lax.population_count(x),
        (integers(N, N, low=0, below=1 << 30, dtype="uint32"),),
    ),
    Identity(
        "distance_of_sets",
        lambda x, y: (
            lax.population_count(x) + lax.population_count(y) - 2 * lax.population_count(x & y)
        ),
        lambda x, y: lax.population_count(x ^ y),
        (
            integers(N, N, low=0, below=1 << 30, dtype="uint32"),
            integers(N, N, low=0, below=1 << 30, dtype="uint32"),
        ),
    ),
    Identity(
        "tested_bit",
        lambda a: ((a >> 3) & 1) != 0,
        lambda a: (a & 8) != 0,
        (integers(N, N, low=0, dtype="uint32"),),
    ),
    Identity(
        "remainder_of_remainder",
        lambda a: (a % 12) % 4,
        lambda a: a % 4,
        (integers(N, N, low=0, dtype="uint32"),),
    ),
    Identity(
        "ones_and_zeros",
        lambda x: lax.population_count(x) + lax.population_count(~x),
        lambda x: jnp.full_like(x, 32),
        (X,),
    ),
    Identity("ones_by_halves", _ones_by_halves, lambda x: lax.population_count(x), (U,)),
    Identity(
        "ones_bit_by_bit",
        lambda x: sum((x >> i) & 1 for i in range(32)),
        lambda x: lax.population_count(x),
        (X,),
    ),
    Identity(
        "ones_by_carry",
        lambda x, y: lax.population_count(x ^ y) + 2 * lax.population_count(x & y),
        lambda x, y: lax.population_count(x) + lax.population_count(y),
        (U, U),
    ),
    Identity(
        "ones_of_union_and_intersection",
        lambda x, y: lax.population_count(x | y) + lax.population_count(x & y),
        lambda x, y: lax.population_count(x) + lax.population_count(y),
        (U, U),
    ),
    Identity(
        "ones_by_inclusion_and_exclusion",
        lambda x, y: (
            lax.population_count(x) + lax.population_count(y) - lax.population_count(x & y)
        ),
        lambda x, y: lax.population_count(x | y),
        (U, U),
    ),
    Identity("floored_division_twice", lambda x: (x // 3) // 5, lambda x: x // 15, (X,)),
    Identity("floored_division_thrice", lambda x: x // 2 // 3 // 5, lambda x: x // 30, (X,)),
    Identity("quotient_of_multiple", lambda x: (x - x % 16) // 16, lambda x: x >> 4, (X,)),
    Identity(
        "highest_bit",
        lambda x: (x >> 31) & 1,
        lambda x: lax.shift_right_logical(x, 31),
        (X,),
    ),
    Identity(
        "narrow_sum_of_widened",
        lambda x: (3 * x.astype(jnp.int32) + 5).astype(jnp.uint8),
        lambda x: 3 * x + 5,
        (integers(N, N, low=0, below=256, dtype="uint8"),),
    ),
    Identity(
        "parity_of_exclusive_or",
        lambda x, y: (lax.population_count(x ^ y) & 1) ^ (lax.population_count(x) & 1),
        lambda x, y: lax.population_count(y) & 1,
        (X, Y),
    ),
    Identity(
        "comparison_of_converted",
        lambda x, y: x.astype(jnp.float32) < y.astype(jnp.float32),
        lambda x, y: x < y,
        (integers(N, N, dtype="int16"), integers(N, N, dtype="int16")),
    ),
)
