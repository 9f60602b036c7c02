"""Linear steps through a Fourier transform that lead back to the value they began with.

A cosine transform and its inverse are two Fourier transforms between reorderings and products with
phases; a shift is a product with phases between two of them. No rule sees through all that. But
a linear map is known by what it makes of one vector in general position: maps M with M·x = c·x (or
c times x, rolled) for a random x are those for which it holds always, since the others have it in
a subspace only, which has measure zero. So the steps are found, and carried out once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from saturax.graph.build import Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import SET, concatenate, full_like, multiply, slice_dimension
from saturax.graph.reference import UnsupportedError, evaluate
from saturax.graph.types import TensorType, is_complex
from saturax.proposals.equality import Equalities

_WIDE = {"f32": 2e-6, "complex<f32>": 2e-6, "f64": 1e-14, "complex<f64>": 1e-14}
"""Types that are looked at, and what the rounding of constants, such as angles, leaves open.

That is what the check of results allows any program: a filter that changes more is another map.
"""

_MOST_STEPS, _MOST_ELEMENTS, _MOST_TRIALS = 120, 1 << 20, 16
_OF_ONE = frozenset("transpose reshape broadcast_in_dim reverse slice fft".split())
_LINEAR_UNARY = ("negate", "real", "imag", "conj")
# Of all operands alike, and of one operand where the others are constants.
_LINEAR_BINARY = ("add", "subtract", "complex")
_OF_FIRST = ("dynamic_slice", "gather")


def see_through_linear_maps(found: Equalities) -> None:
    """State where Fourier transforms and their surroundings change nothing but place and scale."""
    if sum(node.op == "fft" for node in found.graph.nodes) < 2:
        return
    steps, trials, inside = _Steps(found), 0, set[int]()
    for end in reversed(range(len(found.graph.nodes))):
        for begin in steps.begins(end) if steps.transforms[end] and end not in inside else ():
            trials += 1
            if trials > _MOST_TRIALS:
                return
            value = _moved(found, begin, steps.carried_out(begin, end))
            if value is not None:
                found.equate(end, value)
                inside.update(range(begin + 1, end))
                break


class _Steps:
    """The linear steps of a graph."""

    def __init__(self, found: Equalities) -> None:
        self._nodes = found.graph.nodes
        self._may_round = found.may_round
        self._is_constant: list[bool] = []
        self.transforms: list[bool] = []
        """Whether linear steps lead to a node through a Fourier transform."""
        for node in self._nodes:
            is_known = all(self._is_constant[i] for i in node.operands) and "." not in node.op
            self._is_constant.append(is_known and node.op != "parameter")
            operands = self.operands(node)
            through = any(self.transforms[i] for i in operands)
            self.transforms.append(bool(operands) and (node.op == "fft" or through))

    def operands(self, node: Node) -> tuple[int, ...]:
        """Operands of which a node is a linear function; none if there are others that vary."""
        type = node.type
        if not isinstance(type, TensorType) or not self._may_round(type.dtype):
            return ()
        if type.dtype not in _WIDE or not 0 < type.size <= _MOST_ELEMENTS:
            return ()
        varying = tuple(i for i in node.operands if not self._is_constant[i])
        return varying if varying and self._is_linear(node, varying) else ()

    def _is_linear(self, node: Node, varying: tuple[int, ...]) -> bool:
        f: Any = node.attributes[0] if node.attributes else None
        first = node.operands[0]
        if node.op == "unary":
            return f in _LINEAR_UNARY or (isinstance(f, tuple) and f[0] == "convert")
        if node.op == "binary":
            if f == "multiply":
                return len(varying) == 1
            return f in _LINEAR_BINARY or (f == "divide" and varying == (first,))
        if node.op == "ternary":
            return bool(f == "select" and first not in varying)
        if node.op == "reduce":
            return bool(f == "add")
        if node.op == "scatter":
            return f in (SET, "add") and node.operands[1] not in varying
        if node.op == "dynamic_update_slice":
            return set(varying) <= set(node.operands[:2])
        if node.op == "dot_general":
            return len(varying) == 1
        return node.op in (*_OF_ONE, "concatenate", "pad") or (
            node.op in _OF_FIRST and varying == (first,)
        )

    def begins(self, end: int) -> Iterator[int]:
        """Nodes of the same type from which linear steps alone, a transform among them, lead to
        node `end`, and through which all of them go; the last one first.
        """
        pending = {end}
        for _ in range(_MOST_STEPS):
            last = max(pending)
            is_like = self._nodes[last].type == self._nodes[end].type
            if len(pending) == 1 and is_like and not self._is_short(last, end):
                yield last
            operands = self.operands(self._nodes[last])
            if not operands:
                return
            pending = (pending - {last}) | set(operands)

    def _is_short(self, begin: int, end: int) -> bool:
        """Whether no transform is between two nodes."""
        return not any(node.op == "fft" for node in self._nodes[begin + 1 : end + 1])

    def carried_out(self, begin: int, end: int) -> tuple[Any, Any] | None:
        """Random numbers in place of node `begin`, and what node `end` becomes of them."""
        needed: set[int] = set()
        pending = [end]
        while pending:
            index = pending.pop()
            if index not in needed:
                needed.add(index)
                pending += () if index == begin else self._nodes[index].operands
        order = sorted(needed)
        place = {index: k for k, index in enumerate(order)}
        type: Any = self._nodes[begin].type
        nodes = tuple(
            Node("parameter", (0,), (), type)
            if i == begin
            else self._nodes[i]._replace(operands=tuple(place[o] for o in self._nodes[i].operands))
            for i in order
        )
        rng = np.random.default_rng(0)
        x = rng.standard_normal(type.shape)
        if is_complex(type.dtype):
            x = x + 1j * rng.standard_normal(type.shape)
        try:
            (y,) = evaluate(Graph((type,), nodes, (place[end],)), [x], reals=True)
        except UnsupportedError:
            return None
        return x, y


def _moved(found: Equalities, begin: int, carried_out: tuple[Any, Any] | None) -> Value | None:
    """Node `begin`, rolled and scaled as what was carried out says; None if that is not all."""
    if carried_out is None or not found.facts[begin].assumed_finite:
        return None
    x, y = carried_out
    from_, to = (np.unravel_index(np.argmax(np.abs(z)), z.shape) for z in (x, y))
    shifts = [int(j - i) % n for i, j, n in zip(from_, to, x.shape, strict=True)]
    scale = y[to] / x[from_]
    value = found.value(begin)
    tolerance = _WIDE[value.dtype]
    rolled = np.roll(x, shifts, range(x.ndim))
    if not np.isfinite(scale) or not np.abs(scale) > 0:
        return None
    if np.abs(y - scale * rolled).max() > tolerance * np.abs(scale) * np.abs(x).max():
        return None
    with building(found.builder):
        result = _rolled(value, shifts)
        if abs(scale - 1) > tolerance:
            result = multiply(result, full_like(result, _rounded(scale, tolerance)))
    return result


def _rounded(scale: Any, tolerance: float) -> Any:
    """A number without the parts that are rounding."""
    parts = [scale.real, scale.imag] if np.iscomplexobj(scale) else [scale]
    near = [float(np.round(p)) for p in parts]
    size = float(np.abs(scale))
    exact = [
        n if abs(n - p) <= tolerance * size else float(p) for n, p in zip(near, parts, strict=True)
    ]
    return complex(*exact) if len(exact) == 2 else exact[0]


def _rolled(x: Value, shifts: Sequence[int]) -> Value:
    """`numpy.roll` along each dimension."""
    for d, shift in enumerate(shifts):
        if shift:
            n = x.shape[d]
            parts = slice_dimension(x, d, n - shift, n), slice_dimension(x, d, 0, n - shift)
            x = concatenate(*parts, d)
    return x
