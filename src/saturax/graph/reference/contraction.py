"""Reference meaning of contractions and reductions.

Small sums are taken in index order, so that they do not depend on strides; large ones are left to
numpy and BLAS.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from saturax.graph.ops.contraction import ConvDimensions, DotDimensions, Groups, Window
from saturax.graph.ops.reduction import REDUCERS, ReduceWindow, identity_value
from saturax.graph.reference.movement import pad
from saturax.graph.reference.numbers import (
    Array,
    UnsupportedError,
    arithmetic_dtype,
    is_real,
    widen,
)
from saturax.graph.types import mlir_dtype

SMALL = 1 << 16
"""Products up to which a contraction is summed in index order."""


def _accumulation(operands: list[Array], result: np.dtype) -> np.dtype:
    """The type that products are summed in: the result's, or the operands' where that is wider."""
    wide = arithmetic_dtype(result)
    for x in operands:
        operand = arithmetic_dtype(x.dtype)
        both_real = is_real(operand) and is_real(wide)
        if both_real and operand.itemsize > wide.itemsize:
            wide = operand
    return wide


def _matmul(x: Array, y: Array) -> Array:
    """Batches of matrix products: [b, m, k] · [b, k, n]."""
    batch, m, k = x.shape
    n = y.shape[2]
    exact = x.dtype.kind in "iub"
    if exact or batch * m * n * k > SMALL:
        return np.asarray(np.matmul(x, y))
    total = np.zeros((batch, m, n), x.dtype)
    for i in range(k):
        total += x[:, :, i, None] * y[:, None, i, :]
    return total


def dot_general(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `dot_general`."""
    (dimensions, _, _), (x, y) = attributes, operands
    d = DotDimensions(*dimensions)
    wide = _accumulation(operands, result)
    lhs_free, rhs_free = d.lhs_free(x.ndim), d.rhs_free(y.ndim)
    batch = [x.shape[i] for i in d.lhs_batch]
    rows, columns = [x.shape[i] for i in lhs_free], [y.shape[i] for i in rhs_free]
    contracted = prod(x.shape[i] for i in d.lhs_contract)
    left = x.transpose(d.lhs_batch + lhs_free + d.lhs_contract).astype(wide)
    right = y.transpose(d.rhs_batch + d.rhs_contract + rhs_free).astype(wide)
    product = _matmul(
        left.reshape(prod(batch), prod(rows), contracted),
        right.reshape(prod(batch), contracted, prod(columns)),
    )
    return product.reshape((*batch, *rows, *columns)).astype(result)


# ------------------------------------------------------------------ convolution


def _dilated(x: Array, value: Any, padding: Any, dilation: Any) -> Array:
    """X with gaps between its elements and `value` in them and around; never of negative size."""
    interior = [n - 1 for n in dilation]
    low, high = [], []
    for n, i, (a, b) in zip(x.shape, interior, padding, strict=True):
        spread = n + max(n - 1, 0) * i
        low.append(a)
        high.append(max(b, -spread - a))
    return pad((low, high, interior), [x, np.asarray(value, x.dtype)], x.dtype)


def _windows(x: Array, sizes: Any, strides: Any, dilations: Any, shape: Any) -> Array:
    """All windows over the leading dimensions of x: [position…, rest of x…, offset…]."""
    if 0 in shape or 0 in sizes:
        return np.zeros((*shape, *x.shape[len(sizes) :], *sizes), x.dtype)
    extent = [(k - 1) * d + 1 for k, d in zip(sizes, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=tuple(range(len(extent))))
    positions = [slice(None, None, s) for s in strides]
    offsets = [slice(None, None, d) for d in dilations]
    index: Any = (*positions, ..., *offsets)
    return np.asarray(view[index])


def convolution(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `convolution`."""
    (window, dimensions, groups, _, _), (x, k) = attributes, operands
    w, d, g = Window(*window), ConvDimensions(*dimensions), Groups(*groups)
    wide = _accumulation(operands, result)
    x = x.transpose((*d.input_spatial, d.input_batch, d.input_feature)).astype(wide)
    k = k.transpose((*d.kernel_spatial, d.kernel_input_feature, d.kernel_output_feature)).astype(
        wide
    )
    k = np.flip(k, tuple(i for i, flag in enumerate(w.reversal) if flag))
    rest = ((0, 0), (0, 0))
    x = _dilated(x, 0, (*w.padding, *rest), (*w.lhs_dilation, 1, 1))
    if g.batch > 1:
        pieces = zip(np.split(x, g.batch, -2), np.split(k, g.batch, -1), strict=True)
    else:
        pieces = zip(np.split(x, g.feature, -1), np.split(k, g.feature, -1), strict=True)
    result_parts = [_convolve(a, b, w) for a, b in pieces]
    joined = np.concatenate(result_parts, -1)
    order = (*d.output_spatial, d.output_batch, d.output_feature)
    return joined.transpose(np.argsort(order)).astype(result)


def _convolve(x: Array, k: Array, w: Window) -> Array:
    """[space…, batch, feature] · [window…, feature, out] → [position…, batch, out]."""
    spatial = k.ndim - 2
    sizes = k.shape[:spatial]
    shape = _positions(x.shape[:spatial], sizes, w.strides, w.rhs_dilation)
    patches = _windows(x, sizes, w.strides, w.rhs_dilation, shape)
    # [position…, batch, feature, offset…] → [position…, batch, offset…, feature]
    patches = np.moveaxis(patches, spatial + 1, -1)
    batch, features, out = x.shape[-2], k.shape[-2], k.shape[-1]
    contracted = prod(sizes) * features
    product = _matmul(
        patches.reshape(1, prod(shape) * batch, contracted), k.reshape(1, contracted, out)
    )
    return product.reshape(*shape, batch, out)


def _positions(shape: Any, sizes: Any, strides: Any, dilations: Any) -> tuple[int, ...]:
    found = []
    for n, k, s, d in zip(shape, sizes, strides, dilations, strict=True):
        extent = 0 if k == 0 else (k - 1) * d + 1
        found.append(0 if n == 0 or extent > n else (n - extent) // s + 1)
    return tuple(found)


# ------------------------------------------------------------------ reduction

_UFUNCS: dict[str, np.ufunc] = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
}


def _reduce_last(f: str, x: Array, count: int, identity: Any) -> Array:
    """Combine the last `count` dimensions of x with f, starting from `identity`."""
    kept = x.shape[: x.ndim - count]
    size = prod(x.shape[x.ndim - count :])
    x = widen(x).reshape(*kept, size)
    if x.dtype == np.bool_ and f in ("add", "maximum", "or"):
        return np.asarray(x.any(-1))
    if x.dtype == np.bool_:
        return np.asarray(x.all(-1))
    ufunc, start = _UFUNCS[f], np.asarray(identity).astype(x.dtype)
    if f in ("maximum", "minimum") and is_real(x.dtype):
        return _extreme(f, x, start)
    if x.dtype.kind in "iu" or x.size > SMALL:
        return np.asarray(ufunc.reduce(x, -1, dtype=x.dtype, initial=start))
    started = np.concatenate([np.broadcast_to(start, (*kept, 1)), x], -1)
    return np.asarray(ufunc.accumulate(started, -1, dtype=x.dtype)[..., -1])


def _extreme(f: str, x: Array, start: Array) -> Array:
    """Maximum or minimum with ordered zeros (see `functions.maximum`)."""
    found = _UFUNCS[f].reduce(x, -1, initial=start)
    wanted = (x == 0) & (np.signbit(x) if f == "minimum" else ~np.signbit(x))
    negative = wanted.any(-1) if f == "minimum" else ~wanted.any(-1)
    zero = np.where(negative, -np.zeros((), x.dtype), np.zeros((), x.dtype))
    return np.where(found == 0, zero, found)


def _identity(f: str, result: np.dtype) -> Any:
    identity = identity_value(f, mlir_dtype(result)) if f in REDUCERS else None
    if identity is None:
        raise UnsupportedError(f"{f} of {mlir_dtype(result)} has no identity")
    return identity


def reduce_(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `reduce`."""
    (f, dimensions), (x,) = attributes, operands
    kept = [i for i in range(x.ndim) if i not in dimensions]
    moved = x.transpose((*kept, *sorted(dimensions)))
    return _reduce_last(f, moved, len(dimensions), _identity(f, result)).astype(result)


def reduce_window(attributes: Any, operands: list[Array], result: np.dtype) -> Array:
    """Meaning of `reduce_window`."""
    (f, window), (x,) = attributes, operands
    w = ReduceWindow(*window)
    identity = _identity(f, result)
    x = _dilated(x, identity, w.padding, w.base_dilation)
    shape = _positions(x.shape, w.size, w.strides, w.window_dilation)
    view = _windows(x, w.size, w.strides, w.window_dilation, shape)
    return _reduce_last(f, view, x.ndim, identity).astype(result)
