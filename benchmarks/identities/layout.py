"""Movement of data that cancels: transposes, reversals, rolls, slices, padding, reshapes."""

from __future__ import annotations

from functools import reduce
from itertools import product

import jax
import jax.numpy as jnp

from .row import Identity, N, normal

X, Y, V = normal(N, N), normal(N, N), normal(N)
T = normal(8, 16, 32, 16)
TAPS = tuple(enumerate((0.1, 0.2, 0.4, 0.2, 0.1)))


def _in_a_row(x: jax.Array, axis: int) -> jax.Array:
    return jnp.roll(x, 1, axis) + x + jnp.roll(x, -1, axis)


def _around(x: jax.Array) -> jax.Array:
    places = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    return reduce(jnp.add, (jnp.roll(x, place, (0, 1)) for place in places))


def _blurred(x: jax.Array) -> jax.Array:
    n, m = x.shape
    padded = jnp.pad(x, 2)
    weighted = (a * b * padded[i : i + n, j : j + m] for (i, a), (j, b) in product(TAPS, TAPS))
    return reduce(jnp.add, weighted)


def _blurred_by_dimensions(x: jax.Array) -> jax.Array:
    n, m = x.shape
    padded = jnp.pad(x, 2)
    rows = reduce(jnp.add, (a * padded[i : i + n] for i, a in TAPS))
    return reduce(jnp.add, (b * rows[:, j : j + m] for j, b in TAPS))


ROWS = (
    Identity("reversed_twice", lambda x: x[::-1][::-1], lambda x: x, (X,), True),
    Identity("rolled_back", lambda x: jnp.roll(jnp.roll(x, 3, 0), -3, 0), lambda x: x, (X,), True),
    Identity("rolled_twice", lambda x: jnp.roll(jnp.roll(x, 3), 5), lambda x: jnp.roll(x, 8), (V,)),
    Identity(
        "rolled_sum",
        lambda x, y: jnp.roll(x, 3, 0) + jnp.roll(y, 3, 0),
        lambda x, y: jnp.roll(x + y, 3, 0),
        (X, Y),
    ),
    Identity("sum_of_neighbours", _around, lambda x: _in_a_row(_in_a_row(x, 0), 1) - x, (X,)),
    Identity("blur_of_parts", _blurred, _blurred_by_dimensions, (X,)),
    Identity(
        "concatenate_then_slice",
        lambda x, y: jnp.concatenate([x, y])[:N],
        lambda x, y: x,
        (X, Y),
        True,
    ),
    Identity(
        "slice_across_parts",
        lambda x, y: jnp.concatenate([x, y])[128:384],
        lambda x, y: jnp.concatenate([x[128:], y[:128]]),
        (X, Y),
    ),
    Identity("split_then_join", lambda x: jnp.concatenate(jnp.split(x, 4)), lambda x: x, (X,)),
    Identity("stack_then_index", lambda x, y: jnp.stack([x, y])[1], lambda x, y: y, (X, Y)),
    Identity(
        "stack_columns_then_index",
        lambda x, y: jnp.stack([x, y], -1)[..., 0],
        lambda x, y: x,
        (X, Y),
    ),
    Identity("unstack_sum", lambda x: sum(jnp.stack([x, 2 * x, 3 * x])), lambda x: 6 * x, (X,)),
    Identity("transposed_twice", lambda x: x.T.T, lambda x: x, (X,)),
    Identity(
        "transposed_four_dimensions",
        lambda x: x.transpose(0, 2, 3, 1).transpose(0, 3, 1, 2),
        lambda x: x,
        (T,),
    ),
    Identity("transposed_sum", lambda x, y: (x.T + y.T).T, lambda x, y: x + y, (X, Y)),
    Identity("transposed_function", lambda x: jnp.exp(x.T).T, lambda x: jnp.exp(x), (X,)),
    Identity(
        "reshaped_transposes",
        lambda x: x.reshape(N, 16, 16).swapaxes(1, 2).swapaxes(1, 2).reshape(N, N),
        lambda x: x,
        (X,),
    ),
    Identity(
        "flipped_both",
        lambda x: jnp.flipud(jnp.fliplr(jnp.flipud(x))),
        lambda x: jnp.fliplr(x),
        (X,),
    ),
    Identity(
        "rotated_four_times",
        lambda x: jnp.rot90(jnp.rot90(jnp.rot90(jnp.rot90(x)))),
        lambda x: x,
        (X,),
    ),
    Identity("reversed_sum", lambda x, y: x[::-1] + y[::-1], lambda x, y: (x + y)[::-1], (X, Y)),
    Identity("pad_then_slice", lambda x: jnp.pad(x, 8)[8:-8, 8:-8], lambda x: x, (X,)),
    Identity("padded_twice", lambda x: jnp.pad(jnp.pad(x, 4), 4), lambda x: jnp.pad(x, 8), (X,)),
    Identity(
        "slice_of_slice", lambda x: x[64:][:64][:, ::2][:, 16:], lambda x: x[64:128, 32::2], (X,)
    ),
    Identity(
        "slice_of_function",
        lambda x, y: jnp.exp(x + y)[:8],
        lambda x, y: jnp.exp(x[:8] + y[:8]),
        (X, Y),
    ),
    Identity("strided_of_repeated", lambda x: jnp.repeat(x, 2, 1)[:, ::2], lambda x: x, (X,)),
    Identity("slice_of_tiled", lambda x: jnp.tile(x, (3, 1))[N : 2 * N], lambda x: x, (X,)),
    Identity("broadcast_then_slice", lambda v: jnp.broadcast_to(v, (N, N))[5], lambda v: v, (V,)),
    Identity(
        "expand_and_squeeze",
        lambda x: jnp.squeeze(jnp.exp(x[None, :, None, :]), (0, 2)),
        lambda x: jnp.exp(x),
        (X,),
    ),
    Identity("upper_of_upper", lambda x: jnp.triu(jnp.triu(x)), lambda x: jnp.triu(x), (X,)),
    Identity("lower_and_upper", lambda x: jnp.tril(x) + jnp.triu(x, 1), lambda x: x, (X,)),
    Identity("upper_of_lower", lambda x: jnp.triu(jnp.tril(x, -1)) + x, lambda x: x, (X,)),
    Identity(
        "join_functions",
        lambda x, y: jnp.concatenate([jnp.exp(x), jnp.exp(y)])[:N],
        lambda x, y: jnp.exp(x),
        (X, Y),
    ),
    Identity(
        "heads_round_trip",
        lambda x: x.reshape(N, 4, 64).transpose(1, 0, 2).transpose(1, 0, 2).reshape(N, N) * 2,
        lambda x: x * 2,
        (X,),
    ),
    Identity(
        "batched_scalar",
        lambda x: jax.vmap(lambda r: jax.vmap(lambda e: e * 2)(r))(x),
        lambda x: x * 2,
        (X,),
    ),
    Identity(
        "moved_axis_reduction",
        lambda x: jnp.sum(jnp.moveaxis(x, 1, -1), -1),
        lambda x: jnp.sum(x, 1),
        (T,),
    ),
    Identity(
        "interleaved_then_split",
        lambda x, y: jnp.stack([x, y], 2).reshape(N, 2 * N)[:, ::2],
        lambda x, y: x,
        (X, Y),
    ),
    Identity(
        "meshgrid_sum",
        lambda a, b: jnp.sum(jnp.meshgrid(a, b)[0], 1),
        lambda a, b: jnp.broadcast_to(jnp.sum(a), (N,)),
        (V, V),
    ),
    Identity(
        "interleaved_halves",
        lambda x: jnp.stack([x[:, ::2], x[:, 1::2]], -1).reshape(N, N),
        lambda x: x,
        (X,),
    ),
    Identity(
        "strided_slice_of_interior_padding",
        lambda x: jax.lax.pad(x, 0.0, [(0, 0, 0), (0, 0, 2)])[:, ::3],
        lambda x: x,
        (X,),
    ),
    Identity(
        "rolled_further",
        lambda x: jnp.roll(jnp.roll(x, 10, 1), 20, 1),
        lambda x: jnp.roll(x, 30, 1),
        (X,),
    ),
    Identity(
        "heads_swapped_twice",
        lambda x: (
            x.reshape(16, 16, 4, 64)
            .transpose(0, 2, 1, 3)
            .transpose(0, 2, 1, 3)
            .reshape(16, 16, 256)
        ),
        lambda x: x,
        (normal(16, 16, N),),
    ),
    Identity(
        "even_and_odd_rotated",
        lambda x: jnp.stack([x[..., ::2], x[..., 1::2]], -1).reshape(N, N),
        lambda x: x,
        (X,),
    ),
    Identity(
        "half_rotated_twice",
        lambda x: jnp.concatenate(
            [
                -jnp.concatenate([-x[:, 128:], x[:, :128]], 1)[:, 128:],
                jnp.concatenate([-x[:, 128:], x[:, :128]], 1)[:, :128],
            ],
            1,
        ),
        lambda x: -x,
        (X,),
    ),
    Identity(
        "patches_and_back",
        lambda x: (
            x.reshape(16, 16, 16, 16).transpose(0, 2, 1, 3).transpose(0, 2, 1, 3).reshape(N, N)
        ),
        lambda x: x,
        (X,),
    ),
)
