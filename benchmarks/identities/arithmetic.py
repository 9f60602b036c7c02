"""Sums, products, quotients and signs; conversions; complex numbers."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from .row import Identity, N, booleans, integers, normal, positive

X, Y, Z, P = normal(N, N), normal(N, N), normal(N, N), positive(N, N)
C = normal()
COMPLEX = normal(N, N, dtype="complex64")

ROWS = (
    Identity("divided_by_constant", lambda x: x / 3.0, lambda x: x * (1 / 3.0), (X,), True),
    Identity("divided_by_constants", lambda x: x / 3.0 / 5.0, lambda x: x * (1 / 15.0), (X,)),
    Identity("scaled_thrice", lambda x: 2 * x * 3 * 4, lambda x: 24 * x, (X,)),
    Identity("affine_of_affine", lambda x: (2 * x + 1) * 3 + 4, lambda x: 6 * x + 7, (X,)),
    Identity(
        "standardised_pixels",
        lambda x: (x / 255.0 - 0.45) / 0.225,
        lambda x: x * (1 / 57.375) - 2.0,
        (P,),
    ),
    Identity(
        "common_factor", lambda x, y, z: x * y + x * z, lambda x, y, z: x * (y + z), (X, Y, Z)
    ),
    Identity(
        "common_divisor", lambda x, y, z: x / z + y / z, lambda x, y, z: (x + y) / z, (X, Y, P)
    ),
    Identity(
        "square_of_difference",
        lambda x, y: x**2 - 2 * x * y + y**2,
        lambda x, y: (x - y) ** 2,
        (X, Y),
    ),
    Identity(
        "quarter_squares",
        lambda x, y: ((x + y) ** 2 - (x - y) ** 2) / 4,
        lambda x, y: x * y,
        (X, Y),
        numerics="finite",
    ),
    Identity(
        "parallelogram",
        lambda x, y: (x + y) ** 2 + (x - y) ** 2,
        lambda x, y: 2 * (x * x + y * y),
        (X, Y),
        numerics="finite",
    ),
    Identity(
        "sum_times_difference",
        lambda x, y: (x + y) * (x - y) + y * y,
        lambda x, y: x * x,
        (X, Y),
        numerics="finite",
    ),
    Identity("added_thrice", lambda x: x + x + x, lambda x: 3 * x, (X,)),
    Identity("multiple_and_itself", lambda x: 5 * x - x, lambda x: 4 * x, (X,)),
    Identity(
        "interpolation",
        lambda x, y, t: (1 - t) * x + t * y,
        lambda x, y, t: x + t * (y - x),
        (X, Y, P),
    ),
    Identity(
        "quotient_of_quotient", lambda x, y, z: x / y / z, lambda x, y, z: x / (y * z), (X, P, P)
    ),
    Identity("reciprocal_twice", lambda x: 1 / (1 / x), lambda x: x, (P,), numerics="finite"),
    Identity(
        "divided_by_itself", lambda x: x + x / x, lambda x: x + 1, (P,), numerics="approximate"
    ),
    Identity(
        "divide_and_multiply",
        lambda x, y: x / y * y,
        lambda x, y: x,
        (X, P),
        numerics="approximate",
    ),
    Identity("multiplied_by_zero", lambda x, y: x * 0 + y, lambda x, y: y, (X, Y), True, "finite"),
    Identity(
        "difference_with_itself", lambda x, y: (x - x) + y, lambda x, y: y, (X, Y), False, "finite"
    ),
    Identity("add_and_subtract", lambda x, y: x + y - y, lambda x, y: x, (X, Y), False, "finite"),
    Identity("signs", lambda x, y: -x - (-y), lambda x, y: y - x, (X, Y)),
    Identity("negated_factors", lambda x, y: (-x) * (-y), lambda x, y: x * y, (X, Y)),
    Identity("negated_difference", lambda x, y: -(x - y), lambda x, y: y - x, (X, Y)),
    Identity("absolute_square", lambda x: jnp.abs(x) * jnp.abs(x), lambda x: x * x, (X,)),
    Identity("absolute_of_absolute", lambda x: jnp.abs(jnp.abs(-x)), lambda x: jnp.abs(x), (X,)),
    Identity("sign_and_absolute", lambda x: jnp.sign(x) * jnp.abs(x), lambda x: x, (X,)),
    Identity("square_by_signs", lambda x: jnp.abs(x**2), lambda x: x * x, (X,)),
    Identity("sum_of_halves", lambda x, y: 0.5 * x + 0.5 * y, lambda x, y: 0.5 * (x + y), (X, Y)),
    Identity(
        "scale_of_broadcast",
        lambda x, v: x * jnp.broadcast_to(2.0 * v, (N, N)) * 3.0,
        lambda x, v: x * (6.0 * v),
        (X, normal(N)),
    ),
    Identity("divided_by_row", lambda x, v: x / v, lambda x, v: x * (1 / v), (X, positive(N))),
    Identity("divided_by_scalar", lambda x, c: x / c, lambda x, c: x * (1 / c), (X, positive())),
    Identity(
        "horner",
        lambda x: 1 + x + x**2 / 2 + x**3 / 6 + x**4 / 24,
        lambda x: 1 + x * (1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24)))),
        (X,),
    ),
    Identity(
        "round_trip_wide",
        lambda x: x.astype(jnp.float32).astype(jnp.bfloat16),
        lambda x: x,
        (normal(N, N, dtype="bfloat16"),),
    ),
    Identity(
        "round_trip_integer",
        lambda i: i.astype(jnp.float32).astype(jnp.int16),
        lambda i: i,
        (integers(N, N, dtype="int16"),),
    ),
    Identity(
        "converted_thrice",
        lambda i: i.astype(jnp.int16).astype(jnp.int32).astype(jnp.float32),
        lambda i: i.astype(jnp.float32),
        (integers(N, N, low=-100, below=100, dtype="int8"),),
    ),
    Identity(
        "boolean_round_trip",
        lambda p, x: jnp.where(p.astype(jnp.float32) > 0, x, 1 - x),
        lambda p, x: jnp.where(p, x, 1 - x),
        (booleans(N, N), X),
    ),
    Identity(
        "product_of_indicators",
        lambda x, y: (x > 0).astype(jnp.float32) * (y > 0).astype(jnp.float32),
        lambda x, y: ((x > 0) & (y > 0)).astype(jnp.float32),
        (X, Y),
    ),
    Identity("rounded_twice", lambda x: jnp.floor(jnp.floor(x)), lambda x: jnp.floor(x), (X,)),
    Identity(
        "rounded_integers",
        lambda i: jnp.round(i.astype(jnp.float32)),
        lambda i: i.astype(jnp.float32),
        (integers(N, N, dtype="int16"),),
    ),
    Identity("floor_of_negated", lambda x: -jnp.floor(-x), lambda x: jnp.ceil(x), (X,)),
    Identity(
        "squared_modulus", lambda z: jnp.abs(z) ** 2, lambda z: z.real**2 + z.imag**2, (COMPLEX,)
    ),
    Identity(
        "modulus_by_conjugate",
        lambda z: (z * jnp.conj(z)).real,
        lambda z: z.real**2 + z.imag**2,
        (COMPLEX,),
    ),
    Identity("conjugated_twice", lambda z: jnp.conj(jnp.conj(z)), lambda z: z, (COMPLEX,)),
    Identity(
        "product_of_conjugates",
        lambda z, w: jnp.conj(z) * jnp.conj(w),
        lambda z, w: jnp.conj(z * w),
        (COMPLEX, COMPLEX),
    ),
    Identity("real_of_conjugate", lambda z: jnp.conj(z).real, lambda z: z.real, (COMPLEX,)),
    Identity(
        "real_part_by_sum",
        lambda z: ((z + jnp.conj(z)) / 2).real,
        lambda z: z.real,
        (COMPLEX,),
        numerics="finite",
    ),
    Identity(
        "real_of_product",
        lambda z, w: (z * w).real,
        lambda z, w: z.real * w.real - z.imag * w.imag,
        (COMPLEX, COMPLEX),
    ),
    Identity("rebuilt_complex", lambda z: lax.complex(z.real, z.imag), lambda z: z, (COMPLEX,)),
    Identity(
        "modulus_of_negated", lambda z: jnp.abs(-jnp.conj(z)), lambda z: jnp.abs(z), (COMPLEX,)
    ),
    Identity(
        "phase_rotation",
        lambda x, t: (lax.complex(x, 0 * x) * jnp.exp(1j * t)).real,
        lambda x, t: x * jnp.cos(t),
        (X, Y),
        False,
        "finite",
    ),
    Identity(
        "modulus_of_phase",
        lambda x: x * jnp.abs(jnp.exp(1j * x)),
        lambda x: x,
        (X,),
        False,
        "finite",
    ),
    Identity(
        "complex_rebuilt_by_polar_form",
        lambda z: lax.complex(z.real, -z.imag),
        lambda z: jnp.conj(z),
        (COMPLEX,),
    ),
    Identity(
        "product_with_imaginary_unit",
        lambda z: (1j * z).real,
        lambda z: -z.imag,
        (COMPLEX,),
        numerics="finite",
    ),
    Identity(
        "narrowed_and_widened_sum",
        lambda x: (x.astype(jnp.float32) + 0.0).astype(jnp.float32),
        lambda x: x,
        (X,),
    ),
    Identity(
        "halved_and_doubled",
        lambda x, y: 2.0 * ((x + y) / 2.0) - y,
        lambda x, y: x,
        (X, Y),
        numerics="finite",
    ),
    Identity(
        "floored_quotient_and_remainder",
        lambda x: x // 12 * 12 + x % 12,
        lambda x: x,
        (integers(4096, low=-1000, below=1000),),
    ),
    Identity(
        "fraction_of_floor",
        lambda x: jnp.mod(jnp.floor(x), 1.0),
        lambda x: jnp.zeros((N, N)),
        (X,),
        numerics="finite",
    ),
    Identity(
        "quantised_and_back",
        lambda x: jnp.clip(jnp.round(10 * x), -127, 127).astype(jnp.int8).astype(jnp.float32),
        lambda x: jnp.clip(jnp.round(10 * x), -127, 127),
        (X,),
        numerics="finite",
    ),
    Identity(
        "rounded_differences_rounded",
        lambda v, w: jnp.round(jnp.round(v)[:, None] - jnp.round(w)[None]),
        lambda v, w: jnp.round(v)[:, None] - jnp.round(w)[None],
        (normal(N), normal(N)),
    ),
    Identity(
        "mixed_with_itself",
        lambda x, y: y * x + (1.0 - y) * x,
        lambda x, y: x,
        (X, Y),
        numerics="finite",
    ),
    Identity(
        "conjugate_of_half_conjugated",
        lambda z, w: jnp.conj(jnp.conj(z) * w),
        lambda z, w: z * jnp.conj(w),
        (normal(N, N, dtype="complex64"), normal(N, N, dtype="complex64")),
    ),
    Identity(
        "angles_of_conjugates",
        lambda z: jnp.angle(jnp.conj(z)) + jnp.angle(z),
        lambda z: jnp.zeros((N, N)),
        (normal(N, N, dtype="complex64"),),
        numerics="finite",
    ),
    Identity(
        "modulus_of_polar_form",
        lambda x, y: jnp.abs(lax.complex(x * jnp.cos(y), x * jnp.sin(y))),
        lambda x, y: jnp.abs(x),
        (X, Y),
    ),
    Identity(
        "half_of_floored_floored",
        lambda x: jnp.floor(jnp.floor(x / 2) / 4),
        lambda x: jnp.floor(x / 8),
        (normal(N, N),),
    ),
)
