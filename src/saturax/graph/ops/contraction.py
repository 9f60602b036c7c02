"""Contractions: `dot_general` and `convolution`, with their dimension numbers as named tuples."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from saturax.graph.build import make
from saturax.graph.operation import expect, register
from saturax.graph.types import TensorType, Type


class DotDimensions(NamedTuple):
    """Which dimensions of the operands of a `dot_general` are batched and contracted.

    The result's dimensions: batch, then the left operand's free ones, then the right one's.
    """

    lhs_batch: tuple[int, ...]
    rhs_batch: tuple[int, ...]
    lhs_contract: tuple[int, ...]
    rhs_contract: tuple[int, ...]

    def lhs_free(self, rank: int) -> tuple[int, ...]:
        """Dimensions of a left operand of `rank` that are neither batched nor contracted."""
        return tuple(d for d in range(rank) if d not in self.lhs_batch + self.lhs_contract)

    def rhs_free(self, rank: int) -> tuple[int, ...]:
        """Dimensions of a right operand of `rank` that are neither batched nor contracted."""
        return tuple(d for d in range(rank) if d not in self.rhs_batch + self.rhs_contract)


class Precision(NamedTuple):
    """Operand precisions ("DEFAULT", "HIGH", "HIGHEST"; empty: default) and the dot algorithm."""

    operands: tuple[str, ...] = ()
    algorithm: str = ""


class Blocks(NamedTuple):
    """What each accumulator of a `blocked_dot` computes: a block of the result.

    `counts` has the number of blocks along each dimension of the result. Blocks are runs of
    neighbours in memory; if `is_interleaved`, neighbours are in different blocks instead.
    """

    counts: tuple[int, ...]
    is_interleaved: bool = False


class Window(NamedTuple):
    """How a convolution's window moves; one entry a spatial dimension."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    reversal: tuple[bool, ...]


class ConvDimensions(NamedTuple):
    """Which dimension plays which part in input, kernel and output of a convolution."""

    input_batch: int
    input_feature: int
    input_spatial: tuple[int, ...]
    kernel_input_feature: int
    kernel_output_feature: int
    kernel_spatial: tuple[int, ...]
    output_batch: int
    output_feature: int
    output_spatial: tuple[int, ...]


class Groups(NamedTuple):
    """Numbers of groups that a convolution's features or batch are divided into."""

    feature: int = 1
    batch: int = 1


def _infer_dot_general(attributes: Any, operands: Sequence[Any]) -> Type:
    (d, _, dtype), (x, y) = attributes, operands
    d = DotDimensions(*d)
    valid = len(d.lhs_batch) == len(d.rhs_batch) and len(d.lhs_contract) == len(d.rhs_contract)
    lhs, rhs = d.lhs_batch + d.lhs_contract, d.rhs_batch + d.rhs_contract
    valid = valid and len(set(lhs)) == len(lhs) and len(set(rhs)) == len(rhs)
    valid = valid and all(0 <= i < x.rank for i in lhs) and all(0 <= i < y.rank for i in rhs)
    valid = valid and all(x.shape[i] == y.shape[j] for i, j in zip(lhs, rhs, strict=True))
    expect(valid, "dot_general", "{} and {} along {}", x, y, d)
    shape = (
        tuple(x.shape[i] for i in d.lhs_batch)
        + tuple(x.shape[i] for i in d.lhs_free(x.rank))
        + tuple(y.shape[i] for i in d.rhs_free(y.rank))
    )
    return TensorType(shape, dtype)


def _infer_blocked_dot(attributes: Any, operands: Sequence[Any]) -> Type:
    dimensions, (counts, _), dtype = attributes
    result = _infer_dot_general((dimensions, Precision(), dtype), operands)
    assert isinstance(result, TensorType)
    fits = len(counts) == result.rank and all(
        count > 0 and n % count == 0 for count, n in zip(counts, result.shape, strict=True)
    )
    expect(fits, "blocked_dot", "{} in {} blocks", result, counts)
    return result


def _dot_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    contracted: int = prod(operands[0].shape[i] for i in attributes[0][2])
    return 2 * int(result.size) * contracted


def window_size(size: int, window: int, stride: int, low: int, high: int, dilations: Any) -> int:
    """Number of positions of a window along one dimension (StableHLO, `convolution`).

    `dilations` are the base's and the window's.
    """
    base, spread = dilations
    padded = low + (0 if size == 0 else (size - 1) * base + 1) + high
    dilated = 0 if window == 0 else (window - 1) * spread + 1
    return 0 if padded == 0 or dilated > padded else (padded - dilated) // stride + 1


def _infer_convolution(attributes: Any, operands: Sequence[Any]) -> Type:
    (w, d, groups, _, dtype), (x, k) = attributes, operands
    w, d, groups = Window(*w), ConvDimensions(*d), Groups(*groups)
    spatial = len(d.input_spatial)
    valid = x.rank == k.rank == spatial + 2
    valid = valid and all(len(field) == spatial for field in w)
    expect(valid, "convolution", "{} with kernel {}: ranks do not fit {}", x, k, w)
    fits = x.shape[d.input_feature] == k.shape[d.kernel_input_feature] * groups.feature
    fits = fits and k.shape[d.kernel_output_feature] % groups.feature == 0
    fits = fits and x.shape[d.input_batch] % groups.batch == 0
    fits = fits and k.shape[d.kernel_output_feature] % groups.batch == 0
    expect(fits, "convolution", "{} with kernel {} in {}", x, k, groups)
    shape = [0] * x.rank
    shape[d.output_batch] = x.shape[d.input_batch] // groups.batch
    shape[d.output_feature] = k.shape[d.kernel_output_feature]
    for i in range(spatial):
        shape[d.output_spatial[i]] = window_size(
            x.shape[d.input_spatial[i]],
            k.shape[d.kernel_spatial[i]],
            w.strides[i],
            *w.padding[i],
            (w.lhs_dilation[i], w.rhs_dilation[i]),
        )
    return TensorType(tuple(shape), dtype)


def _convolution_flops(attributes: Any, operands: Sequence[Any], result: Any) -> int:
    d = ConvDimensions(*attributes[1])
    kernel = operands[1].shape
    window: int = prod(kernel[i] for i in d.kernel_spatial) * kernel[d.kernel_input_feature]
    return 2 * int(result.size) * window


register(
    "dot_general", ("dimensions", "precision", "dtype"), _infer_dot_general, "heavy", _dot_flops
)
register("blocked_dot", ("dimensions", "blocks", "dtype"), _infer_blocked_dot, "heavy", _dot_flops)
register(
    "convolution",
    ("window", "dimensions", "groups", "precision", "dtype"),
    _infer_convolution,
    "heavy",
    _convolution_flops,
)


def dot_general(x: Any, y: Any, dimensions: Any, precision: Any, dtype: Any) -> Any:
    """Sum of products over contracted dimensions, for each batch index, in elements of `dtype`."""
    return make("dot_general", x, y, attributes=(dimensions, precision, dtype))


def blocked_dot(x: Any, y: Any, dimensions: Any, blocks: Any, dtype: Any) -> Any:
    """The `dot_general` of x and y by one loop that takes operands in and computes all `Blocks`.

    The loop runs over the elements of a block and over what is contracted, so that it has a sum
    for each block under way, each independent of the others.
    """
    return make("blocked_dot", x, y, attributes=(dimensions, blocks, dtype))


def convolution(
    x: Any, k: Any, window: Any, dimensions: Any, groups: Any, precision: Any, dtype: Any
) -> Any:
    """Kernel k over input x as StableHLO's `convolution`; `window` is a `Window`, and so on."""
    return make("convolution", x, k, attributes=(window, dimensions, groups, precision, dtype))


def matmul(x: Any, y: Any, precision: Any = Precision(), dtype: Any = None) -> Any:  # noqa: B008
    """x @ y for ranks 1 and 2: contract the last dimension of x with the first of y."""
    dimensions = DotDimensions((), (), (x.rank - 1,), (0,))
    return dot_general(x, y, dimensions, precision, x.dtype if dtype is None else dtype)
