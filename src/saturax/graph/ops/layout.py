"""Operations that move elements: transposes, reshapes, broadcasts, slices, pads, concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from saturax.graph.build import make
from saturax.graph.operation import expect, register
from saturax.graph.types import TensorType, Type


def _infer_transpose(attributes: Any, operands: Sequence[Any]) -> Type:
    (permutation,), (x,) = attributes, operands
    valid = sorted(permutation) == list(range(x.rank))
    expect(valid, "transpose", "{} does not permute {}", permutation, x)
    return TensorType(tuple(x.shape[d] for d in permutation), x.dtype)


def _infer_reshape(attributes: Any, operands: Sequence[Any]) -> Type:
    (shape,), (x,) = attributes, operands
    expect(prod(shape) == x.size, "reshape", "{} has not the size of {}", x, shape)
    return TensorType(shape, x.dtype)


def _infer_broadcast_in_dim(attributes: Any, operands: Sequence[Any]) -> Type:
    (shape, dimensions), (x,) = attributes, operands
    valid = len(dimensions) == x.rank and all(
        0 <= d < len(shape) and size in (1, shape[d])
        for d, size in zip(dimensions, x.shape, strict=False)
    )
    valid = valid and len(set(dimensions)) == len(dimensions)
    expect(valid, "broadcast_in_dim", "{} to {} along {}", x, shape, dimensions)
    return TensorType(shape, x.dtype)


def _infer_reverse(attributes: Any, operands: Sequence[Any]) -> Type:
    (dimensions,), (x,) = attributes, operands
    valid = all(0 <= d < x.rank for d in dimensions) and len(set(dimensions)) == len(dimensions)
    expect(valid, "reverse", "{} of {}", dimensions, x)
    result: Type = x
    return result


def _infer_slice(attributes: Any, operands: Sequence[Any]) -> Type:
    (start, limit, stride), (x,) = attributes, operands
    valid = len(start) == len(limit) == len(stride) == x.rank and all(
        0 <= a <= b <= n and s >= 1
        for a, b, s, n in zip(start, limit, stride, x.shape, strict=True)
    )
    expect(valid, "slice", "[{}:{}:{}] of {}", start, limit, stride, x)
    shape = tuple(-(-(b - a) // s) for a, b, s in zip(start, limit, stride, strict=True))
    return TensorType(shape, x.dtype)


def _infer_pad(attributes: Any, operands: Sequence[Any]) -> Type:
    (low, high, interior), (x, value) = attributes, operands
    valid = len(low) == len(high) == len(interior) == x.rank and value.shape == ()
    valid = valid and value.dtype == x.dtype and all(i >= 0 for i in interior)
    expect(valid, "pad", "{} by {}, {}, {} with {}", x, low, high, interior, value)
    shape = tuple(
        a + b + n + max(n - 1, 0) * i
        for a, b, i, n in zip(low, high, interior, x.shape, strict=True)
    )
    expect(all(n >= 0 for n in shape), "pad", "negative size in {}", shape)
    return TensorType(shape, x.dtype)


def _infer_concatenate(attributes: Any, operands: Sequence[Any]) -> Type:
    (dimension,), (x, y) = attributes, operands
    valid = x.rank == y.rank and x.dtype == y.dtype and 0 <= dimension < x.rank
    valid = valid and all(
        a == b or d == dimension for d, (a, b) in enumerate(zip(x.shape, y.shape, strict=True))
    )
    expect(valid, "concatenate", "{} and {} along {}", x, y, dimension)
    size = x.shape[dimension] + y.shape[dimension]
    result: TensorType = x.with_shape((*x.shape[:dimension], size, *x.shape[dimension + 1 :]))
    return result


def _expect_indices(op: str, rank: int, indices: Sequence[Any]) -> None:
    valid = len(indices) == rank and all(i.shape == () for i in indices)
    expect(valid, op, f"expected {rank} scalar start indices, got {', '.join(map(str, indices))}")


def _infer_dynamic_slice(attributes: Any, operands: Sequence[Any]) -> Type:
    (sizes,), (x, *indices) = attributes, operands
    _expect_indices("dynamic_slice", x.rank, indices)
    valid = len(sizes) == x.rank and all(0 <= s <= n for s, n in zip(sizes, x.shape, strict=True))
    expect(valid, "dynamic_slice", "sizes {} of {}", sizes, x)
    return TensorType(sizes, x.dtype)


def _infer_dynamic_update_slice(attributes: Any, operands: Sequence[Any]) -> Type:
    x, update, *indices = operands
    _expect_indices("dynamic_update_slice", x.rank, indices)
    valid = update.rank == x.rank and update.dtype == x.dtype
    valid = valid and all(a <= b for a, b in zip(update.shape, x.shape, strict=True))
    expect(valid, "dynamic_update_slice", "{} into {}", update, x)
    result: Type = x
    return result


def strips_to_same_order(shape: Sequence[int], permutation: Sequence[int]) -> bool:
    """Whether a transpose of `shape` moves only dimensions of size 1, hence no element."""
    moved = [d for d in permutation if shape[d] != 1]
    return moved == sorted(moved)


def _is_identity_transpose(attributes: Any, operands: Sequence[Any]) -> bool:
    return list(attributes[0]) == list(range(operands[0].rank))


def _is_same_shape(attributes: Any, operands: Sequence[Any]) -> bool:
    return bool(attributes[0] == operands[0].shape)


def _is_identity_broadcast(attributes: Any, operands: Sequence[Any]) -> bool:
    shape, dimensions = attributes
    return bool(shape == operands[0].shape and list(dimensions) == list(range(len(shape))))


def _is_empty_reverse(attributes: Any, operands: Sequence[Any]) -> bool:
    return all(operands[0].shape[d] <= 1 for d in attributes[0])


def _is_full_slice(attributes: Any, operands: Sequence[Any]) -> bool:
    start, limit, stride = attributes
    whole = limit == operands[0].shape and not any(start)
    return bool(whole and all(s == 1 for s in stride))


def _is_empty_pad(attributes: Any, operands: Sequence[Any]) -> bool:
    return not any(map(any, attributes))


register(
    "transpose",
    ("permutation",),
    _infer_transpose,
    "movement",
    is_no_op=_is_identity_transpose,
)
register("reshape", ("shape",), _infer_reshape, "movement", is_no_op=_is_same_shape)
register(
    "broadcast_in_dim",
    ("shape", "dimensions"),
    _infer_broadcast_in_dim,
    "movement",
    is_no_op=_is_identity_broadcast,
)
register("reverse", ("dimensions",), _infer_reverse, "movement", is_no_op=_is_empty_reverse)
register("slice", ("start", "limit", "stride"), _infer_slice, "movement", is_no_op=_is_full_slice)
register("pad", ("low", "high", "interior"), _infer_pad, "movement", is_no_op=_is_empty_pad)
register("concatenate", ("dimension",), _infer_concatenate, "movement")
register("dynamic_slice", ("sizes",), _infer_dynamic_slice, "movement")
register("dynamic_update_slice", (), _infer_dynamic_update_slice, "movement")

_INJECTIVE = frozenset({"transpose", "reshape", "reverse", "concatenate", "broadcast_in_dim"})


def is_injective(op: str, type: Type) -> bool:
    """Whether equal results of this type mean equal operands, where these have the same types.

    A broadcast to no element forgets its operand.
    """
    return op in _INJECTIVE and isinstance(type, TensorType) and type.size > 0


def transpose(x: Any, permutation: Any) -> Any:
    """Dimension i of the result is dimension permutation[i] of x."""
    return make("transpose", x, attributes=(permutation,))


def reshape(x: Any, shape: Any) -> Any:
    """The elements of x in row-major order, in another shape of the same size."""
    return make("reshape", x, attributes=(shape,))


def broadcast_in_dim(x: Any, shape: Any, dimensions: Any) -> Any:
    """Dimension i of x becomes dimension dimensions[i] of the result; size 1 is repeated."""
    return make("broadcast_in_dim", x, attributes=(shape, dimensions))


def broadcast_scalar(x: Any, shape: Any) -> Any:
    """A rank-0 x repeated to `shape`."""
    return broadcast_in_dim(x, shape, ())


def reverse(x: Any, dimensions: Any) -> Any:
    """X with the order of elements reversed along `dimensions`."""
    return make("reverse", x, attributes=(dimensions,))


def slice_(x: Any, start: Any, limit: Any, stride: Any) -> Any:
    """x[start:limit:stride] in every dimension; all three have one entry a dimension."""
    return make("slice", x, attributes=(start, limit, stride))


def slice_dimension(x: Any, dimension: int, start: int, limit: int, stride: int = 1) -> Any:
    """x[…, start:limit:stride, …] along one dimension."""
    starts = [start if d == dimension else 0 for d in range(x.rank)]
    limits = [limit if d == dimension else n for d, n in enumerate(x.shape)]
    strides = [stride if d == dimension else 1 for d in range(x.rank)]
    return slice_(x, starts, limits, strides)


def pad(x: Any, value: Any, low: Any, high: Any, interior: Any) -> Any:
    """X with a rank-0 `value` around and between its elements; negative amounts crop."""
    return make("pad", x, value, attributes=(low, high, interior))


def concatenate(x: Any, y: Any, dimension: Any) -> Any:
    """X followed by y along `dimension`; longer concatenations are chains of this."""
    return make("concatenate", x, y, attributes=(dimension,))


def concatenate_all(operands: Sequence[Any], dimension: int) -> Any:
    """All operands, one after the other, as a left-leaning chain."""
    result = operands[0]
    for operand in operands[1:]:
        result = concatenate(result, operand, dimension)
    return result


def dynamic_slice(x: Any, indices: Sequence[Any], sizes: Any) -> Any:
    """A window of `sizes` that starts at run-time scalar `indices` (clamped into bounds)."""
    return make("dynamic_slice", x, *indices, attributes=(sizes,))


def dynamic_update_slice(x: Any, update: Any, indices: Sequence[Any]) -> Any:
    """X with a window at run-time scalar `indices` (clamped) replaced by `update`."""
    return make("dynamic_update_slice", x, update, *indices)
