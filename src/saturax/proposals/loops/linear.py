"""Carries that are linear in one another, with known coefficients: weighted sums of what they read.

    c ← 0.9·c + 0.1·x        =   0.9ⁿ·c₀ + Σₜ 0.9ⁿ⁻¹⁻ᵗ·0.1·xₜ
    (a, b) ← (b, a + b)      =   multiples of a₀ and b₀

The carries of a cycle are a vector c, which an iteration replaces by A·c + B·f: A and B are numbers
(which may vary with the iteration), f are terms that do not need the carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saturax.graph.literal import Literal
from saturax.graph.ops import identity_value
from saturax.graph.reference import UnsupportedError, evaluate_operation
from saturax.graph.types import TensorType, is_float, numpy_dtype
from saturax.proposals.loops.structure import Loop

Array = np.ndarray[Any, Any]
Form = dict[int, Array]
"""Coefficients, a number for each iteration, by the node that they belong to."""

_MOST_CARRIES, _MOST_TERMS, _MOST_NODES = 4, 6, 40
_MOST_ITERATIONS, _MOST_STEPS = 1 << 12, 256
"""Iterations of which a final value is said, and of which all values are: a matrix of weights."""


@dataclass(frozen=True, eq=False)
class System:
    """Carries that are A·c + B·f after an iteration: `a[t, k, j]` and `b[t, k, i]` for term i."""

    carries: tuple[int, ...]
    terms: tuple[int, ...]
    a: Array
    b: Array

    def weights(self) -> tuple[Array, Array]:
        """Weights of first values [k, j] and of terms [t, k, i] in the values after the loop."""
        rest = np.eye(len(self.carries))
        found = np.empty_like(self.b)
        for t in range(len(self.a) - 1, -1, -1):
            found[t] = rest @ self.b[t]
            rest = rest @ self.a[t]
        return rest, found

    def steps(self) -> tuple[Array, Array]:
        """The same for the values after iteration s: weights [s, k, j] and [s, t, k, i]."""
        n = len(self.a)
        first, found = np.empty_like(self.a), np.zeros((n, *self.b.shape))
        before = np.eye(len(self.carries))
        for s in range(n):
            before = first[s] = self.a[s] @ before
            found[s, :s] = self.a[s] @ found[s - 1, :s] if s else 0
            found[s, s] = self.b[s]
        return first, found


def system_of(loop: Loop, carries: Sequence[int], cycle: frozenset[int]) -> System | None:
    """The system that the carries of a cycle are; None where they are not linear."""
    body, count = loop.body, loop.trip_count
    types = {body.inputs[k] for k in carries}
    (type, *others) = types
    if others or not isinstance(type, TensorType) or not is_float(type.dtype):
        return None
    if identity_value("add", type.dtype) is None or numpy_dtype(type.dtype).itemsize < 4:
        return None
    if not count or count > _MOST_ITERATIONS or len(carries) > _MOST_CARRIES:
        return None
    reader = _Reader(loop, cycle, count, type)
    forms = [reader.form(body.outputs[k]) for k in carries]
    known = [form for form in forms if form is not None]
    if len(known) < len(forms) or len(cycle) > _MOST_NODES:
        return None
    places = {loop.parameter(i): i for i in cycle}
    own = [places.get(k) for k in carries]
    terms = sorted({node for form in known for node in form}.difference(own))
    if len(terms) > _MOST_TERMS:
        return None
    found = System(
        tuple(carries), tuple(terms), _matrices(known, own, count), _matrices(known, terms, count)
    )
    return found if _is_tame(found, numpy_dtype(type.dtype)) else None


def _matrices(forms: Sequence[Form], nodes: Sequence[int | None], count: int) -> Array:
    """Coefficients of nodes in each form, as a matrix for each iteration."""
    none = np.zeros(count)
    rows = [[none if i is None else form.get(i, none) for i in nodes] for form in forms]
    return np.moveaxis(np.asarray(rows).reshape(len(forms), len(nodes), count), -1, 0)


def _is_tame(system: System, dtype: Any) -> bool:
    """Whether no weight is so large that it could not be told from an infinity."""
    with np.errstate(all="ignore"):
        first, found = system.weights()
    largest = np.sqrt(float(np.finfo(dtype).max)) if dtype.kind == "f" else 1.0
    return bool((np.abs(first) < largest).all() and (np.abs(found) < largest).all())


def has_steps(system: System) -> bool:
    """Whether there are few enough iterations to say the values in all of them."""
    return len(system.a) <= _MOST_STEPS


class _Reader:
    """Reads nodes of a cycle as sums of carries and terms."""

    def __init__(self, loop: Loop, cycle: frozenset[int], count: int, type: TensorType) -> None:
        self._loop = loop
        self._cycle = cycle
        self._count = count
        self._type = type
        self._forms: dict[int, Form | None] = {}

    def form(self, index: int) -> Form | None:
        """A node as a sum; None if it is none."""
        if index not in self._forms:
            self._forms[index] = self._read(index)
        return self._forms[index]

    def _read(self, index: int) -> Form | None:
        node: Any = self._loop.body.nodes[index]
        if node.type != self._type:
            return None
        if index not in self._cycle or node.op == "parameter":
            return {index: np.ones(self._count)}
        if node.op == "unary" and node.attributes[0] == "negate":
            return _scaled(self.form(node.operands[0]), -np.ones(self._count))
        if node.op != "binary":
            return None
        x, y = node.operands
        f = node.attributes[0]
        if f in ("add", "subtract"):
            sign = 1.0 if f == "add" else -1.0
            return _sum(self.form(x), _scaled(self.form(y), np.full(self._count, sign)))
        if f == "multiply":
            number, other = (self._number(y), x) if y not in self._cycle else (self._number(x), y)
            return None if number is None else _scaled(self.form(other), number)
        number = self._number(y) if f == "divide" else None
        if number is None or not number.all():
            return None
        return _scaled(self.form(x), 1 / number)

    def _number(self, index: int) -> Array | None:
        """The number that all elements of a node are, in each iteration, if it is known."""
        node: Any = self._loop.body.nodes[index]
        if index in self._cycle:
            return None
        if node.op == "constant":
            literal: Literal = node.attributes[0]
            return np.full(self._count, float(literal.value)) if literal.is_splat else None
        table = self._loop.tables.get(index)
        if table is not None and table[0].size == 1:
            return table.reshape(self._count).astype(np.float64)
        if node.op in ("broadcast_in_dim", "reshape"):
            return self._number(node.operands[0])
        if node.op not in ("unary", "binary"):
            return None
        operands = [self._number(i) for i in node.operands]
        if any(operand is None for operand in operands):
            return None
        return self._evaluated(node, operands)

    def _evaluated(self, node: Any, operands: Sequence[Any]) -> Array | None:
        types: list[Any] = [self._loop.body.nodes[i].type for i in node.operands]
        arrays = [
            operand.astype(numpy_dtype(type.dtype))
            for operand, type in zip(operands, types, strict=True)
        ]
        result = TensorType((self._count,), node.type.dtype)
        try:
            value = evaluate_operation(node.op, node.attributes, arrays, result)
        except UnsupportedError:
            return None
        number = np.asarray(value).astype(np.float64)
        return number if np.isfinite(number).all() else None


def _scaled(form: Form | None, number: Array) -> Form | None:
    if form is None or not np.isfinite(number).all():
        return None
    return {node: number * coefficient for node, coefficient in form.items()}


def _sum(x: Form | None, y: Form | None) -> Form | None:
    if x is None or y is None:
        return None
    none = np.zeros(())
    return {i: x.get(i, none) + y.get(i, none) for i in {**x, **y}}
