"""Are both sides of a rule's instance equal in value, as its numerics class demands?"""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.reference import UnsupportedError, evaluate_nodes
from saturax.graph.sampling import Draw
from saturax.graph.types import TensorType, is_complex, is_float
from saturax.rules.rule import Numerics
from saturax.testing.inputs import Array, Inputs, draw_inputs
from saturax.testing.instances import Instance
from saturax.testing.precision import unit

CLOSE = 1e-9
"""Relative difference that two double-precision evaluations may have: rounding errors are around
1e-15 for each operation, mistakes of a rule far above."""

ROUGHLY = 5e-2
"""The same for APPROXIMATE rules."""

SHORT = 16
"""Constants with 4 significant bits are taken to be exact: no rounding gave 0.5, 2 or -1."""

LARGEST_EXACT = 2.0**53
"""Integers below are exact in double precision."""

# Functions whose value on integers is an exact integer.
_RING = frozenset(
    "negate abs sign floor ceil round_nearest_even round_nearest_afz not real imag add subtract "
    "multiply maximum minimum and or xor select clamp complex chlo.conj chlo.square".split()
)
Reason = tuple[str, str]


def check_values(instance: Instance, draw: Draw) -> Reason | None:
    """Evaluate both sides on random inputs: what failed, and why; or None."""
    if not _has_floats(instance.left) and not _has_floats(instance.right):
        return _first(instance, draw, [(Inputs.ADVERSARIAL, False)] * 2)
    numerics = instance.rule.numerics
    if numerics == Numerics.BITWISE:
        kinds = [(Inputs.ADVERSARIAL, False)] * 2
    else:
        kinds = [(Inputs.REALS, True), (Inputs.POSITIVE, True)]
        if _is_ring(instance.left) and _is_ring(instance.right):
            kinds.append((Inputs.INTEGERS, True))
    return _first(instance, draw, kinds)


def _first(instance: Instance, draw: Draw, kinds: list[tuple[Inputs, bool]]) -> Reason | None:
    for kind, reals in kinds:
        inputs = draw_inputs(instance.inputs, kind, draw)
        reason = _compare(instance, inputs, kind, reals)
        if reason is not None:
            return reason
    return None


def _has_floats(graph: Graph) -> bool:
    types = [node.type for node in graph.nodes if isinstance(node.type, TensorType)]
    return any(is_float(type.dtype) or is_complex(type.dtype) for type in types)


def _is_ring(graph: Graph) -> bool:
    return all(_is_exact(graph, node) for node in graph.nodes)


def _is_exact(graph: Graph, node: Node) -> bool:
    """Whether an operation's value on integers is an exact integer."""
    f: Any = node.attributes[0] if node.attributes else None
    if f in ("abs", "sign") and "complex" in str(graph.nodes[node.operands[0]].type):
        return False
    if node.op in ("unary", "binary", "ternary"):
        return f in _RING if isinstance(f, str) else f[0] in ("convert", "compare")
    if isinstance(f, Literal):
        values = np.asarray(f.data).astype(np.complex128)
        return bool(np.all(np.isfinite(values) & (values == np.rint(values))))
    return True


def _compare(instance: Instance, inputs: list[Array], kind: Inputs, reals: bool) -> Reason | None:
    try:
        lefts = evaluate_nodes(instance.left, inputs, reals=reals)
        try:
            rights = evaluate_nodes(instance.right, inputs, reals=reals)
        except (TypeError, ValueError, IndexError) as error:
            return "raised", f"the right side cannot be evaluated: {error!r}"
    except UnsupportedError:
        if reals:
            return None
        raise
    left, right = lefts[instance.left.outputs[0]], rights[instance.right.outputs[0]]
    with np.errstate(all="ignore"):
        scale = max(map(_largest, lefts + rights), default=0.0)
        if kind is Inputs.INTEGERS and scale >= LARGEST_EXACT:
            return None
        wrong = _differing(instance, left, right, kind, scale)
    if not wrong.any():
        return None
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    text = (
        f"at {at} the left side is {left[at]!r}, the right side {right[at]!r}; inputs "
        f"({kind.value}):\n" + "\n".join(_shown(i, x) for i, x in enumerate(inputs))
    )
    names = {Inputs.ADVERSARIAL: "bits", Inputs.INTEGERS: "integers"}
    return names.get(kind, "values") if _has_floats(instance.left) else "integers", text


def _shown(index: int, x: Array) -> str:
    text = np.array2string(x, threshold=64, max_line_width=100, separator=", ")
    return f"    %{index} = {x.dtype}{list(x.shape)} {text}"


def _largest(x: Array) -> float:
    """The greatest finite magnitude among floating-point values."""
    if x.dtype.kind not in "fc" or not x.size:
        return 0.0
    magnitudes = np.abs(x)
    return float(np.max(magnitudes, initial=0.0, where=np.isfinite(magnitudes)))


def _differing(instance: Instance, left: Array, right: Array, kind: Inputs, scale: float) -> Array:
    """Where the sides differ by more than they may."""
    if left.shape != right.shape:
        return np.ones((1,) * left.ndim, np.bool_)
    if kind is Inputs.ADVERSARIAL or left.dtype.kind not in "fc":
        return ~_same_bits(left, right)
    if kind is Inputs.INTEGERS:
        return np.asarray((left != right) & np.isfinite(left))
    tolerance = ROUGHLY if instance.rule.numerics == Numerics.APPROXIMATE else CLOSE
    tolerance += 8 * _folding_error(instance)
    # Cancellation leaves errors on the scale of the terms; beyond 1000 that would hide mistakes.
    allowed = tolerance * (np.abs(left) + min(scale, 1e3))
    return np.asarray(np.isfinite(left) & ~(np.abs(left - right) <= allowed))


def _folding_error(instance: Instance) -> float:
    """Relative error of the constants that the right side made: they are rounded to their type."""
    old = set(_literals(instance.left))
    return max([_rounding(literal) for literal in _literals(instance.right) - old], default=0.0)


def _literals(graph: Graph) -> set[Literal]:
    attributes = (node.attributes[0] for node in graph.nodes if node.op == "constant")
    return {literal for literal in attributes if isinstance(literal, Literal)}


def _rounding(literal: Literal) -> float:
    """The unit of rounding of a constant's type; 0 if its values are short enough to be exact."""
    if not (is_float(literal.type.dtype) or is_complex(literal.type.dtype)):
        return 0.0
    values = literal.data.reshape(-1).astype(np.complex128).view(np.float64)
    mantissas = np.frexp(values[np.isfinite(values)])[0]
    if np.array_equal(mantissas * SHORT, np.rint(mantissas * SHORT)):
        return 0.0
    return unit(literal.type.dtype)


def _same_bits(left: Array, right: Array) -> Array:
    """Where two arrays have the same bits; any NaN is the same as any other."""
    if left.dtype.kind == "c":
        return _same_bits(left.real, right.real) & _same_bits(left.imag, right.imag)
    same = left == right
    if left.dtype.kind in "fV":
        wide, other = left.astype(np.float64), right.astype(np.float64)
        zeros = (wide != 0) | (np.signbit(wide) == np.signbit(other))
        same = (same & zeros) | (np.isnan(wide) & np.isnan(other))
    return np.asarray(same)
