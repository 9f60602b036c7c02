"""How the attributes of the operation table are spelled in MLIR, in both directions.

One `Codec` an operation: which MLIR attributes it has, and how their values are packed into the
positional attributes of a node. An operation with any other attribute is imported as generic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo

from saturax.graph.ir import Attributes
from saturax.graph.ops import (
    ConvDimensions,
    DotDimensions,
    GatherDimensions,
    Groups,
    Precision,
    ReduceWindow,
    Routine,
    ScatterDimensions,
    Triangle,
    Window,
)
from saturax.graph.types import TensorType, is_complex, is_float, is_unsigned

_DEFAULT_ACCURACY = "#stablehlo.result_accuracy<mode = #stablehlo.result_accuracy_mode<DEFAULT>>"


class Field(NamedTuple):
    """One MLIR attribute; `encode` needs a current context and may return None for the default."""

    name: str
    decode: Callable[[ir.Attribute], Any]
    encode: Callable[[Any], ir.Attribute | None]


class Codec(NamedTuple):
    """The MLIR attributes of an operation of the table.

    `pack(values, result_type)` makes the node's attributes of the fields' values, None where a
    field is absent; `unpack(attributes)` returns the fields' values.
    """

    fields: tuple[Field, ...]
    pack: Callable[[Sequence[Any], TensorType], Attributes]
    unpack: Callable[[Attributes], Sequence[Any]]


def _decode_integers(attribute: Any) -> tuple[int, ...]:
    return tuple(attribute)


def _decode_pairs(attribute: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(low), int(high)) for low, high in np.asarray(attribute))


def _encode_pairs(pairs: Sequence[tuple[int, int]]) -> ir.Attribute:
    array: Any = np.asarray(pairs, np.int64).reshape(len(pairs), 2)
    attribute: ir.Attribute = ir.DenseElementsAttr.get(array)
    return attribute


def _with_lists(get: Callable[..., Any], values: Sequence[Any]) -> ir.Attribute:
    """An attribute of MLIR's constructor `get`, which takes lists for tuples."""
    lists = (list(value) if isinstance(value, tuple) else value for value in values)
    attribute: ir.Attribute = get(*lists)
    return attribute


def _decode_dot(attribute: Any) -> DotDimensions:
    d = stablehlo.DotDimensionNumbers(attribute)
    return DotDimensions(
        tuple(d.lhs_batching_dimensions),
        tuple(d.rhs_batching_dimensions),
        tuple(d.lhs_contracting_dimensions),
        tuple(d.rhs_contracting_dimensions),
    )


def _encode_dot(d: DotDimensions) -> ir.Attribute:
    return _with_lists(stablehlo.DotDimensionNumbers.get, d)


def _decode_convolution(attribute: Any) -> ConvDimensions:
    d = stablehlo.ConvDimensionNumbers(attribute)
    return ConvDimensions(
        d.input_batch_dimension,
        d.input_feature_dimension,
        tuple(d.input_spatial_dimensions),
        d.kernel_input_feature_dimension,
        d.kernel_output_feature_dimension,
        tuple(d.kernel_spatial_dimensions),
        d.output_batch_dimension,
        d.output_feature_dimension,
        tuple(d.output_spatial_dimensions),
    )


def _encode_convolution(d: ConvDimensions) -> ir.Attribute:
    return _with_lists(stablehlo.ConvDimensionNumbers.get, d)


def _decode_gather(attribute: Any) -> GatherDimensions:
    d = stablehlo.GatherDimensionNumbers(attribute)
    return GatherDimensions(
        tuple(d.offset_dims),
        tuple(d.collapsed_slice_dims),
        tuple(d.operand_batching_dims),
        tuple(d.start_indices_batching_dims),
        tuple(d.start_index_map),
        d.index_vector_dim,
    )


def _encode_gather(d: GatherDimensions) -> ir.Attribute:
    return _with_lists(stablehlo.GatherDimensionNumbers.get, d)


def _decode_scatter(attribute: Any) -> ScatterDimensions:
    d = stablehlo.ScatterDimensionNumbers(attribute)
    return ScatterDimensions(
        tuple(d.update_window_dims),
        tuple(d.inserted_window_dims),
        tuple(d.input_batching_dims),
        tuple(d.scatter_indices_batching_dims),
        tuple(d.scattered_dims_to_operand_dims),
        d.index_vector_dim,
    )


def _decode_precisions(attribute: Any) -> tuple[str, ...]:
    names = tuple(stablehlo.PrecisionAttr(each).value for each in attribute)
    return () if all(name == "DEFAULT" for name in names) else names


def _encode_precisions(names: tuple[str, ...]) -> ir.Attribute | None:
    if not names:
        return None
    attribute: ir.Attribute = ir.ArrayAttr.get([stablehlo.PrecisionAttr.get(n) for n in names])
    return attribute


def _encode_text(text: str) -> ir.Attribute | None:
    return ir.Attribute.parse(text) if text else None


def _decode_accuracy(attribute: Any) -> str:
    text = str(attribute)
    return "" if text == _DEFAULT_ACCURACY else text


def _integers(name: str) -> Field:
    """A field of type `array<i64>`."""
    return Field(name, _decode_integers, lambda values: ir.DenseI64ArrayAttr.get(list(values)))


def _integer(name: str, bits: int = 64) -> Field:
    """An integer of a width in bits."""
    return Field(
        name,
        lambda attribute: ir.IntegerAttr(attribute).value,
        lambda value: ir.IntegerAttr.get(ir.IntegerType.get_signless(bits), value),
    )


def _boolean(name: str) -> Field:
    return Field(name, lambda attribute: ir.BoolAttr(attribute).value, ir.BoolAttr.get)


def _pairs(name: str) -> Field:
    return Field(name, _decode_pairs, _encode_pairs)


_BOOLEANS = Field(
    "window_reversal", _decode_integers, lambda values: ir.DenseBoolArrayAttr.get(list(values))
)
_PRECISION = Field("precision_config", _decode_precisions, _encode_precisions)


def _as_given(values: Sequence[Any], result: TensorType) -> Attributes:
    return tuple(values)


def _pack_dot(values: Sequence[Any], result: TensorType) -> Attributes:
    dimensions, precisions, algorithm = values
    return dimensions, Precision(precisions or (), algorithm or ""), result.dtype


def _or(value: Any, default: Any, count: int) -> Any:
    return (default,) * count if value is None else value


def _pack_convolution(values: Sequence[Any], result: TensorType) -> Attributes:
    strides, padding, lhs, rhs, reversal, dimensions, feature, batch, precisions = values
    n = result.rank - 2
    window = Window(
        _or(strides, 1, n),
        _or(padding, (0, 0), n),
        _or(lhs, 1, n),
        _or(rhs, 1, n),
        tuple(map(bool, _or(reversal, False, n))),
    )
    groups = Groups(feature, batch)
    return window, dimensions, groups, Precision(precisions or ()), result.dtype


def _unpack_convolution(attributes: Any) -> Sequence[Any]:
    window, dimensions, groups, precision, _ = attributes
    return (*window, dimensions, *groups, precision[0])


def _pack_reduce_window(values: Sequence[Any], result: TensorType) -> Attributes:
    size, strides, base, dilation, padding = values
    n = result.rank
    window = ReduceWindow(
        size, _or(strides, 1, n), _or(base, 1, n), _or(dilation, 1, n), _or(padding, (0, 0), n)
    )
    return (window,)


CODECS: dict[str, Codec] = {
    "transpose": Codec((_integers("permutation"),), _as_given, tuple),
    "reverse": Codec((_integers("dimensions"),), _as_given, tuple),
    "slice": Codec(
        (_integers("start_indices"), _integers("limit_indices"), _integers("strides")),
        _as_given,
        tuple,
    ),
    "pad": Codec(
        (
            _integers("edge_padding_low"),
            _integers("edge_padding_high"),
            _integers("interior_padding"),
        ),
        _as_given,
        tuple,
    ),
    "concatenate": Codec((_integer("dimension"),), _as_given, tuple),
    "dynamic_slice": Codec((_integers("slice_sizes"),), _as_given, tuple),
    "dynamic_update_slice": Codec((), _as_given, tuple),
    "reshape": Codec((), lambda values, result: (result.shape,), lambda attributes: ()),
    "broadcast_in_dim": Codec(
        (_integers("broadcast_dimensions"),),
        lambda values, result: (result.shape, values[0]),
        lambda attributes: attributes[1:],
    ),
    "iota": Codec(
        (_integer("iota_dimension"),),
        lambda values, result: (values[0], result),
        lambda attributes: attributes[:1],
    ),
    "dot_general": Codec(
        (
            Field("dot_dimension_numbers", _decode_dot, _encode_dot),
            _PRECISION,
            Field("algorithm", str, _encode_text),
        ),
        _pack_dot,
        lambda attributes: (attributes[0], *attributes[1]),  # type: ignore[misc]
    ),
    "convolution": Codec(
        (
            _integers("window_strides"),
            _pairs("padding"),
            _integers("lhs_dilation"),
            _integers("rhs_dilation"),
            _BOOLEANS,
            Field("dimension_numbers", _decode_convolution, _encode_convolution),
            _integer("feature_group_count"),
            _integer("batch_group_count"),
            _PRECISION,
        ),
        _pack_convolution,
        _unpack_convolution,
    ),
    "gather": Codec(
        (
            Field("dimension_numbers", _decode_gather, _encode_gather),
            _integers("slice_sizes"),
            _boolean("indices_are_sorted"),
        ),
        lambda values, result: (values[0], values[1], bool(values[2])),
        tuple,
    ),
    "fft": Codec(
        (
            Field(
                "fft_type",
                lambda attribute: stablehlo.FftTypeAttr(attribute).value,
                lambda value: stablehlo.FftTypeAttr.get(value),
            ),
            _integers("fft_length"),
        ),
        _as_given,
        tuple,
    ),
    "triangular_solve": Codec(
        (
            _boolean("left_side"),
            _boolean("lower"),
            _boolean("unit_diagonal"),
            Field(
                "transpose_a",
                lambda attribute: stablehlo.TransposeAttr(attribute).value,
                lambda value: stablehlo.TransposeAttr.get(value),
            ),
        ),
        lambda values, result: (Triangle(*values), Routine()),
        lambda attributes: attributes[0],  # type: ignore[arg-type,return-value]
    ),
    "reduce": Codec((_integers("dimensions"),), _as_given, lambda attributes: attributes[1:]),
    "reduce_window": Codec(
        (
            _integers("window_dimensions"),
            _integers("window_strides"),
            _integers("base_dilations"),
            _integers("window_dilations"),
            _pairs("padding"),
        ),
        _pack_reduce_window,
        lambda attributes: attributes[1],  # type: ignore[arg-type,return-value]
    ),
}
"""Codecs by operation of the table. For reductions, `pack` leaves out the function."""

_SORT = Codec(
    (_integer("dimension"), _boolean("is_stable")),
    lambda values, result: (-1 if values[0] is None else values[0], bool(values[1])),
    lambda attributes: (attributes[0], attributes[2]),
)

REGION_CODECS: dict[str, Codec] = {
    "sort": _SORT,
    "sort_pair": _SORT,
    "arg_reduce": Codec((_integers("dimensions"),), _as_given, lambda a: ((a[1],),)),
    "scatter": Codec(
        (
            Field(
                "scatter_dimension_numbers",
                _decode_scatter,
                lambda d: _with_lists(stablehlo.ScatterDimensionNumbers.get, d),
            ),
            _boolean("indices_are_sorted"),
            _boolean("unique_indices"),
        ),
        lambda values, result: (values[0], bool(values[1]), bool(values[2])),
        lambda attributes: attributes[1:],
    ),
    "top_k": Codec((_integer("k"),), _as_given, tuple),
}
"""Codecs of operations that `regions` knows by their bodies; `pack` leaves out what the body says.

(`top_k` has no body, but several results.)
"""

PRECISIONS = (_PRECISION,)
"""Attributes of the older `dot`."""

SET_DIMENSION_SIZE = (_integer("dimension"),)
"""Attributes of `set_dimension_size`."""

RESULT_ACCURACY = (Field("result_accuracy", _decode_accuracy, _encode_text),)
"""The attribute of transcendental functions, empty where it is the default."""

COMPARE = (
    Field(
        "comparison_direction",
        lambda attribute: stablehlo.ComparisonDirectionAttr(attribute).value,
        lambda value: stablehlo.ComparisonDirectionAttr.get(value),
    ),
    Field(
        "compare_type",
        lambda attribute: stablehlo.ComparisonTypeAttr(attribute).value,
        lambda value: stablehlo.ComparisonTypeAttr.get(value),
    ),
)
"""Attributes of `compare`."""

REDUCE_PRECISION = (_integer("exponent_bits", 32), _integer("mantissa_bits", 32))
"""Attributes of `reduce_precision`."""

UNARY = frozenset(
    "abs cbrt ceil cosine count_leading_zeros exponential exponential_minus_one floor imag "
    "is_finite log log_plus_one logistic negate not popcnt real round_nearest_afz "
    "round_nearest_even rsqrt sign sine sqrt tan tanh".split()
)
"""StableHLO's elementwise operations of one operand without attributes."""

BINARY = frozenset(
    "add and atan2 complex divide maximum minimum multiply or power remainder shift_left "
    "shift_right_arithmetic shift_right_logical subtract xor".split()
)
"""StableHLO's elementwise operations of two operands without attributes."""

CHLO_UNARY = frozenset(
    "acos acosh asin asin_acos_kernel asinh atan atanh bessel_i1e conj cosh digamma erf erf_inv "
    "erfc is_inf is_neg_inf is_pos_inf lgamma sinh square tan".split()
)
"""CHLO's elementwise operations of one operand."""

CHLO_BINARY = frozenset("mulhi next_after polygamma zeta".split())
"""CHLO's elementwise operations of two operands."""


def default_comparison(dtype: str) -> str:
    """The `compare_type` that StableHLO assumes for elements of `dtype` where none is given."""
    if is_float(dtype) or is_complex(dtype):
        return "FLOAT"
    return "UNSIGNED" if is_unsigned(dtype) or dtype == "i1" else "SIGNED"


def terminator(name: str) -> str:
    """The operation that ends the regions of operation `name`."""
    dialect = name.partition(".")[0]
    return "stablehlo.return" if dialect == "chlo" else f"{dialect}.return"
