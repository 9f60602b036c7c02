"""Convolutions of one feature with long kernels as products with Toeplitz matrices.

XLA:CPU runs them at a small part of the rate of its matrix products: there is no feature to sum
over. Letters as in `convolution`.
"""

from __future__ import annotations

from functools import reduce
from itertools import product
from math import isqrt, prod
from typing import Any

import numpy as np

from saturax.graph.build import Value
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    ConvDimensions,
    Groups,
    Precision,
    Window,
    add,
    broadcast_in_dim,
    concatenate_all,
    convolution,
    full,
    pad,
    reshape,
    reverse,
    slice_dimension,
)
from saturax.graph.types import TensorType
from saturax.rules.einsum import Einsum, contract
from saturax.rules.facts import has_numbers, is_identity
from saturax.rules.moves import transposed
from saturax.rules.rule import ROUNDING, need, rule
from saturax.rules.windows import (
    channels_first,
    channels_last,
    is_undilated,
    layout_permutations,
    output_sizes,
    padded_input,
    window_shape,
)

SHORTEST, FEWEST = 8, 49
"""Least taps along the last dimension; a window of at most 49 places is a sum of products."""
MOST_ROWS = 32
"""Places in the other dimensions of the window, each of which becomes a product of its own."""
SMALLEST_BLOCK, LARGEST_BLOCK = 16, 256


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="a convolution is linear in its input: its matrix is a Toeplitz matrix",
    examples=lambda rng: _long_kernel(rng),
)
def long_convolution_as_dots(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ k = Σᵢ blocks of row i of x · Toeplitz(kᵢ) for one input feature and over 49 places"""
    need(d.kernel_spatial)
    *rows, taps = window_shape(k, d)
    need(g == Groups(1, 1) and x.shape[d.input_feature] == 1 and is_undilated(w))
    need(all(stride == 1 for stride in w.strides))
    need(t == x.dtype == k.dtype and t in ("f32", "f64"))
    need(taps >= SHORTEST and prod(rows) * taps > FEWEST and prod(rows) <= MOST_ROWS)
    *heights, width = output_sizes(x, k, w, d)
    need(min(x.shape[d.input_batch], *heights, width) > 0 and k.size > 0)
    into, kernel_into, back = layout_permutations(d, channels_last(len(w.strides)))
    padded = transposed(padded_input(x, w, d), into)
    block = _block(width, taps)
    windows = _overlapping(reshape(padded, padded.shape[:-1]), block, width, taps)
    kernel = _taps_last(transposed(k, kernel_into), w)
    terms = []
    for position in product(*map(range, rows)):
        seen, own = windows, kernel
        for dimension, (start, height) in enumerate(zip(position, heights, strict=True)):
            seen = slice_dimension(seen, dimension + 1, start, start + height)
            own = slice_dimension(own, dimension, start, start + 1)
        matrix = _toeplitz(reshape(own, own.shape[len(rows) :]), block, windows.shape[-1])
        kept = tuple(range(seen.rank - 1))
        labels = Einsum((*kept, "sum"), ("out", "place", "sum"), (*kept, "place", "out"))
        terms.append(contract(seen, matrix, labels, p, t))
    total = reduce(add, terms)
    *outer, blocks, _, features = total.shape
    lines = reshape(total, (*outer, blocks * block, features))
    return transposed(slice_dimension(lines, lines.rank - 2, 0, width), back)


@rule(
    lambda x, k, w, d, g, p, t: convolution(x, k, w, d, g, p, t),
    numerics=ROUNDING,
    source="a convolution with the identity matrix reads windows",
    uses_facts=True,
    examples=lambda rng: _identity_kernel(rng),
)
def windows_by_identity_kernel(
    x: Value, k: Value, w: Window, d: ConvDimensions, g: Groups, p: Precision, t: str
) -> Any:
    """x ∗ 1 = the matrix of x[i + j] for one feature of a line and a kernel that is an identity"""
    need(len(d.kernel_spatial) == 1 and g == Groups(1, 1) and x.shape[d.input_feature] == 1)
    need(is_undilated(w) and w.strides == (1,) and not any(w.reversal))
    need(t == x.dtype == k.dtype and t in ("f32", "f64") and has_numbers(x))
    (width,), (taps,) = output_sizes(x, k, w, d), window_shape(k, d)
    need(min(x.shape[d.input_batch], width) > 0 and taps >= SHORTEST)
    into, _, back = layout_permutations(d, channels_last(1))
    need(k.shape[d.kernel_output_feature] == taps and is_identity(reshape(k, (taps, taps))))
    padded = transposed(padded_input(x, w, d), into)
    batch, length = padded.shape[0], width + taps - 1
    line = slice_dimension(reshape(padded, padded.shape[:-1]), 1, 0, length)
    return transposed(_hankel(line, batch, width, taps), back)


def _hankel(x: Value, batch: int, width: int, taps: int) -> Any:
    """H[b, i, j] = x[b, i + j] of shape (batch, width, taps), for lines of width + taps - 1.

    Lines that follow each other, read in rows of one element more, begin one element later each
    time.
    """
    length = width + taps - 1
    repeated = broadcast_in_dim(x, (batch, width, length), (0, 2))
    flat = _padded_to(reshape(repeated, (batch, width * length)), width * (length + 1))
    rows = reshape(flat, (batch, width, length + 1))
    return slice_dimension(rows, 2, 0, taps)


def _identity_kernel(rng: np.random.Generator) -> dict[str, Any]:
    """A line of one feature, and an identity matrix as the kernel."""
    taps = int(rng.integers(SHORTEST, 12))
    points = int(rng.integers(taps, taps + 9))
    d = channels_first(1) if rng.random() < 0.5 else channels_last(1)
    x = {d.input_spatial[0]: points, d.input_batch: int(rng.integers(1, 3))}
    place = int(rng.integers(1, 3))
    d = d._replace(kernel_input_feature=0, kernel_output_feature=place, kernel_spatial=(3 - place,))
    padding = (int(rng.integers(-2, 3)), int(rng.integers(-2, 3)))
    return {
        "x": TensorType(tuple(x.get(i, 1) for i in range(3)), "f64"),
        "k": Literal(np.eye(taps).reshape(1, taps, taps)),
        "w": Window((1,), (padding,), (1,), (1,), (False,)),
        "d": d,
        "g": Groups(1, 1),
        "p": Precision(),
        "t": "f64",
    }


def _block(width: int, taps: int) -> int:
    """Outputs of one block: windows and Toeplitz matrix have as many elements if it is √width."""
    most = min(LARGEST_BLOCK, 1 << (taps - 1).bit_length())
    return max(SMALLEST_BLOCK, min(most, 1 << (isqrt(width) - 1).bit_length()))


def _overlapping(x: Value, block: int, width: int, taps: int) -> Any:
    """What each block of outputs sees of the last dimension: x[…, t·block : t·block + seen]."""
    count, parts = -(-width // block), 1 + -(-(taps - 1) // block)
    missing = (count + parts - 1) * block - x.shape[-1]
    outer = x.shape[:-1]
    whole = reshape(_padded_to(x, x.shape[-1] + missing), (*outer, count + parts - 1, block))
    place = len(outer)
    return concatenate_all(
        [slice_dimension(whole, place, i, i + count) for i in range(parts)], place + 1
    )


def _taps_last(k: Value, w: Window) -> Any:
    """A kernel (window first, one input feature, output features) as rows, features, taps."""
    rank = k.rank - 2
    reversed_ = reverse(k, tuple(i for i in range(rank) if w.reversal[i]))
    shape = k.shape[:rank] + k.shape[rank + 1 :]
    return transposed(reshape(reversed_, shape), (*range(rank - 1), rank, rank - 1))


def _toeplitz(k: Value, block: int, seen: int) -> Any:
    """T[o, r, s] = k[o, s - r], 0 where that is no tap, of shape (features, block, seen).

    Rows of one element more than `seen`, written one after the other and read in rows of `seen`,
    begin one element earlier each time.
    """
    features = k.shape[0]
    line = _padded_to(k, seen + 1)
    repeated = broadcast_in_dim(line, (features, block, seen + 1), (0, 2))
    flat = reshape(repeated, (features, block * (seen + 1)))
    return reshape(slice_dimension(flat, 1, 0, block * seen), (features, block, seen))


def _padded_to(x: Value, size: int) -> Any:
    """x with zeros at the end of its last dimension."""
    none = (0,) * x.rank
    after = (*none[1:], size - x.shape[-1])
    return pad(x, full(0, TensorType((), x.dtype)), none, after, none)


def _long_kernel(rng: np.random.Generator) -> dict[str, Any]:
    """A convolution of one feature by a kernel that is long in its last dimension."""
    rank = int(rng.integers(1, 3))
    taps = (int(rng.integers(50, 60)),) if rank == 1 else (int(rng.integers(5, 7)), 11)
    points = tuple(int(rng.integers(m, m + 30)) for m in taps)
    ones = (1,) * rank
    d = channels_first(rank) if rng.random() < 0.5 else channels_last(rank)
    x = dict(zip(d.input_spatial, points, strict=True)) | {d.input_batch: int(rng.integers(1, 3))}
    k = dict(zip(d.kernel_spatial, taps, strict=True))
    k |= {d.kernel_output_feature: int(rng.integers(1, 3))}
    return {
        "x": TensorType(tuple(x.get(i, 1) for i in range(rank + 2)), "f64"),
        "k": TensorType(tuple(k.get(i, 1) for i in range(rank + 2)), "f64"),
        "w": Window(
            ones,
            tuple((int(rng.integers(-2, m)), int(rng.integers(-2, m))) for m in taps),
            ones,
            ones,
            tuple(bool(b) for b in rng.integers(0, 2, rank)),
        ),
        "d": d,
        "g": Groups(1, 1),
        "p": Precision(),
        "t": "f64",
    }
