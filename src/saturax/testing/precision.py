"""Does a rule's right side round intermediate results more coarsely than its left side does?

Rules are compared over the reals, where a detour through bf16 does not show; this looks for it.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes

from saturax.graph.ir import Graph, Node
from saturax.graph.ops.elementwise import function_name
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.types import TensorType, is_complex, is_float, numpy_dtype
from saturax.testing.instances import Instance

# Elementwise functions and reducers whose value is a value of their operands' type.
_EXACT = frozenset(
    "negate abs sign floor ceil round_nearest_even round_nearest_afz real imag complex maximum "
    "minimum select clamp remainder and or chlo.conj bitcast_convert".split()
)
_ROUNDING = frozenset(
    {"dot_general", "blocked_dot", "convolution", "reduce", "reduce_window", "fft"} | LINEAR_ALGEBRA
)


def unit(dtype: str) -> float:
    """Relative distance of neighbouring numbers of a type; 0 for integers."""
    if not (is_float(dtype) or is_complex(dtype)):
        return 0.0
    info: Any = ml_dtypes.finfo(numpy_dtype(dtype))
    return float(info.eps)


def check_precision(instance: Instance) -> tuple[str, str] | None:
    """Compare the coarsest roundings of both sides: what failed, and why; or None."""
    left = max(_coarsest(instance.left), *[_unit(t) for t in instance.left.output_types])
    right = _coarsest(instance.right)
    if right <= left:
        return None
    return (
        "precision",
        f"the right side rounds to a relative precision of {right:g}, the left side of {left:g}. "
        "Ask for element types that do not narrow intermediate results.",
    )


def _unit(type: Any) -> float:
    return unit(type.dtype) if isinstance(type, TensorType) else 0.0


def _coarsest(graph: Graph) -> float:
    return max((_rounding(graph, node) for node in graph.nodes), default=0.0)


def _rounding(graph: Graph, node: Node) -> float:
    """The relative precision that an operation rounds to; 0 if its result is exact."""
    f: Any = node.attributes[0] if node.attributes else None
    if node.op == "unary" and function_name(f) == "convert":
        source, target = _unit(graph.nodes[node.operands[0]].type), _unit(node.type)
        return target if target > source else 0.0
    if node.op == "unary" and function_name(f) == "reduce_precision":
        return max(_unit(node.type), float(2.0 ** -f[2]))
    rounds = node.op in _ROUNDING or node.op in ("unary", "binary", "ternary")
    named = isinstance(f, str) or node.op in ("unary", "binary")
    exact = named and function_name(f) in _EXACT
    return _unit(node.type) if rounds and not exact else 0.0
