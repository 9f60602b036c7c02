"""Are both sides of a rule's instance equal in value, as its numerics class demands?"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.reference import UnsupportedError, evaluate_nodes
from saturax.graph.sampling import Draw
from saturax.graph.types import TensorType, TupleType, Type, is_complex, is_float
from saturax.rules.rule import Numerics
from saturax.testing.compiled import evaluate_compiled
from saturax.testing.inputs import Array, Inputs, draw_inputs, draw_tensor
from saturax.testing.instances import Instance
from saturax.testing.modular import (
    Residues,
    UndefinedError,
    draw_residues,
    evaluate_residues,
    is_field,
)
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


class Evidence(Enum):
    """What the sides of an instance were compared on, strongest first."""

    FIELD = "exact in ℤ/p"
    INTEGERS = "exact in ℤ"
    BITS = "every bit"
    REALS = "over the reals, to 10⁻⁹"


class Judgement(NamedTuple):
    """What failed and why (None: nothing), and what the sides were compared on."""

    reason: Reason | None
    evidence: frozenset[Evidence]


class _Trial(NamedTuple):
    """One comparison: of inputs of a kind, over the reals or in the program's own types."""

    kind: Inputs
    reals: bool
    evidence: Evidence


_BITS = _Trial(Inputs.ADVERSARIAL, False, Evidence.BITS)
_WRAPPING = _Trial(Inputs.ADVERSARIAL, False, Evidence.INTEGERS)
_INTEGERS = _Trial(Inputs.INTEGERS, True, Evidence.INTEGERS)
_REALS = [_Trial(kind, True, Evidence.REALS) for kind in (Inputs.REALS, Inputs.POSITIVE)]
_MATRICES = [_Trial(kind, True, Evidence.REALS) for kind in (Inputs.REGULAR, Inputs.DOMINANT)]


def check_values(instance: Instance, draw: Draw) -> Judgement:
    """Evaluate both sides on random inputs."""
    evidence: set[Evidence] = set()
    for trial in _trials(instance):
        inputs = draw_inputs(instance.inputs, trial.kind, draw)
        reason, was_compared = _compare(instance, inputs, trial)
        if reason is not None:
            return Judgement(reason, frozenset(evidence))
        if was_compared:
            evidence.add(trial.evidence)
    if instance.rule.numerics in (Numerics.ROUNDING, Numerics.FINITE) and _has_floats(
        instance.left
    ):
        reason, was_compared = _compare_residues(instance, draw)
        if reason is not None:
            return Judgement(reason, frozenset(evidence))
        if was_compared:
            evidence.add(Evidence.FIELD)
    return Judgement(None, frozenset(evidence))


def _trials(instance: Instance) -> list[_Trial]:
    if not _has_floats(instance.left) and not _has_floats(instance.right):
        return [_WRAPPING] * 2
    if instance.rule.numerics == Numerics.BITWISE:
        return [_BITS] * 2
    # What becomes of singular matrices, where one side may find a NaN, is no part of a rule.
    trials = list(_MATRICES if _factors(instance.left) else _REALS)
    if _is_ring(instance.left) and _is_ring(instance.right):
        trials.append(_INTEGERS)
    return trials


def _factors(graph: Graph) -> bool:
    """Whether matrices are factored: they must be well-conditioned."""
    return any(node.op in LINEAR_ALGEBRA for node in graph.nodes)


def _compare_residues(instance: Instance, draw: Draw) -> tuple[Reason | None, bool]:
    """Compare the sides in ℤ/p, where both consist of field operations and exact constants."""
    if _folding_error(instance):
        return None, False
    inputs = [
        draw_residues(type, draw.rng)
        if isinstance(type, TensorType) and is_field(type)
        else draw_tensor(type, Inputs.INTEGERS, draw)
        for type in instance.inputs
    ]
    try:
        left = evaluate_residues(instance.left, inputs)
    except UnsupportedError:
        return None, False
    try:
        right = evaluate_residues(instance.right, inputs)
    except UndefinedError:
        reason = "the right side divides by 0 on residues on which the left side is defined"
        return (None if _divides(instance.left) else ("integers", reason)), False
    except UnsupportedError:
        return None, False
    if not isinstance(left, Residues) or not isinstance(right, Residues):
        return None, False
    wrong = left.differs(right)
    if not wrong.any():
        return None, bool(wrong.size)
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    values = " and ".join(str([int(p[at]) for p in side.parts]) for side in (left, right))
    return ("integers", f"at {at} the left and the right side are {values} modulo 2³¹-1"), False


def _divides(graph: Graph) -> bool:
    return any(node.op == "binary" and node.attributes[0] == "divide" for node in graph.nodes)


def _has_floats(graph: Graph) -> bool:
    return any(_is_inexact(node.type) for node in graph.nodes)


def _is_inexact(type: Type) -> bool:
    if isinstance(type, TupleType):
        return any(map(_is_inexact, type.elements))
    return isinstance(type, TensorType) and (is_float(type.dtype) or is_complex(type.dtype))


def _is_ring(graph: Graph) -> bool:
    return all(_is_exact(graph, node) for node in graph.nodes)


def _is_exact(graph: Graph, node: Node) -> bool:
    """Whether an operation's value on integers is an exact integer."""
    f: Any = node.attributes[0] if node.attributes else None
    if node.op == "fft" or node.op in LINEAR_ALGEBRA:
        return False
    if f in ("abs", "sign") and "complex" in str(graph.nodes[node.operands[0]].type):
        return False
    if node.op in ("unary", "binary", "ternary"):
        return f in _RING if isinstance(f, str) else f[0] in ("convert", "compare")
    if isinstance(f, Literal):
        values = np.asarray(f.data).astype(np.complex128)
        return bool(np.all(np.isfinite(values) & (values == np.rint(values))))
    return True


def _compare(instance: Instance, inputs: list[Array], trial: _Trial) -> tuple[Reason | None, bool]:
    """What is wrong, if anything is, and whether anything was compared."""
    try:
        lefts = _evaluated(instance.left, inputs, trial.reals)
        try:
            rights = _evaluated(instance.right, inputs, trial.reals)
        except (TypeError, ValueError, IndexError) as error:
            return ("raised", f"the right side cannot be evaluated: {error!r}"), False
    except UnsupportedError:
        return None, False
    kind = trial.kind
    with np.errstate(all="ignore"):
        scale = max(map(_largest, lefts.all + rights.all), default=0.0)
        if kind is Inputs.INTEGERS and scale >= LARGEST_EXACT:
            return None, False
        compared = False
        for left, right in zip(lefts.results, rights.results, strict=True):
            wrong = _differing(instance, left, right, kind, scale)
            if wrong.any():
                return _reason(instance, inputs, trial, (left, right, wrong)), False
            compared |= bool(kind is Inputs.ADVERSARIAL or _is_number(left).any())
    return None, compared


def _reason(instance: Instance, inputs: list[Array], trial: _Trial, sides: Any) -> Reason:
    left, right, wrong = sides
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    text = (
        f"at {at} the left side is {left[at]!r}, the right side {right[at]!r}; inputs "
        f"({trial.kind.value}):\n" + "\n".join(_shown(i, x) for i, x in enumerate(inputs))
    )
    names = {Inputs.ADVERSARIAL: "bits", Inputs.INTEGERS: "integers"}
    return names.get(trial.kind, "values") if _has_floats(instance.left) else "integers", text


def _is_number(x: Array) -> Array:
    return np.isfinite(x) if x.dtype.kind in "fc" else np.ones(x.shape, np.bool_)


class _Values(NamedTuple):
    """The results of a graph, and all values from which rounding errors may come."""

    results: list[Array]
    all: list[Array]


def _evaluated(graph: Graph, inputs: list[Array], reals: bool) -> _Values:
    """By our reference; over the reals by XLA in double precision where that has no meaning."""
    try:
        values: list[Any] = evaluate_nodes(graph, inputs, reals=reals)
    except UnsupportedError:
        if not reals or not _has_unknown(graph):
            raise
        results = evaluate_compiled(graph, inputs)
        return _Values(results, [*inputs, *results])
    every: list[Array] = []
    for value in values:
        every += value if isinstance(value, list | tuple) else [value]
    results = values[graph.outputs[0]]
    return _Values(list(results) if isinstance(results, list | tuple) else [results], every)


def _has_unknown(graph: Graph) -> bool:
    """Whether there is an operation that our reference does not know, which XLA does."""
    return any("." in node.op for node in graph.nodes)


def _shown(index: int, x: Array) -> str:
    text = np.array2string(x, threshold=64, max_line_width=100, separator=", ")
    return f"    %{index} = {x.dtype}{list(x.shape)} {text}"


def _largest(x: Array | tuple[Array, ...]) -> float:
    """The greatest finite magnitude among floating-point values."""
    if isinstance(x, tuple):  # of an operation with several results
        return max(map(_largest, x), default=0.0)
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
