"""The analysis: facts of an e-node from those of its operands, and facts of merged classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from saturax.facts import elementwise, movement, ordering, sums
from saturax.facts.affine import affine_bounds, fitting
from saturax.facts.finiteness import stays_finite
from saturax.facts.integers import stays_integral
from saturax.facts.literals import literal_known
from saturax.facts.model import NOTHING, Affine, Facts, Known, Range, frozen, join, unknown
from saturax.graph.ir import Node
from saturax.graph.types import TensorType, TupleType, Type
from saturax.numerics import BITWISE, FINITE, ROUNDING, Numerics

Transfer = Callable[[Any, Sequence[Facts], TensorType], Known]

_MOVEMENT: dict[str, Transfer] = {
    "broadcast_in_dim": movement.broadcast_in_dim,
    "reshape": movement.reshape,
    "transpose": movement.transpose,
    "reverse": movement.reverse,
    "slice": movement.slice_,
    "pad": movement.pad,
    "concatenate": movement.concatenate,
    "dynamic_slice": movement.dynamic_slice,
    "dynamic_update_slice": movement.dynamic_update_slice,
    "gather": movement.gather,
    "sort": ordering.sort,
    "scatter": ordering.scatter,
    "reduce": sums.reduce_,
    "reduce_window": sums.reduce_window,
    "convolution": sums.convolution,
    "triangular_solve": sums.triangular_solve,
}
"""Operations of whose result nothing is known unless something is of an operand."""

_SEVERAL = frozenset({"sort_pair", "top_k", "arg_reduce", "lu"})
"""Operations with several results of which something is known."""

_ELEMENTWISE: dict[str, Transfer] = {
    "unary": elementwise.unary,
    "ternary": elementwise.ternary,
}
_PRODUCTS: dict[str, Callable[..., Known]] = {
    "binary": elementwise.binary,
    "dot_general": sums.dot_general,
}
"""Operations for which it matters whether both operands are one value, and what 0 · x is."""


class FactAnalysis:
    """Derives `Facts` for new e-nodes and joins them when classes merge.

    `frozen` are the numbers of the parameters whose values are fixed before the program runs. Facts
    are true in the sense of `numerics`: over the reals, a sum lacks the terms that have a factor 0,
    and of finite values, 0 · x = 0. Of the parameters `inner`, which are no inputs of the program
    but values that it has computed, nothing is assumed.
    """

    def __init__(
        self,
        frozen: frozenset[int] = frozenset(),
        numerics: Numerics = BITWISE,
        inner: frozenset[int] = frozenset(),
    ) -> None:
        self._frozen = frozen
        self._inner = inner
        self._assumes_finite = numerics >= ROUNDING
        self._zeros_absorb = numerics >= FINITE
        # Of e-nodes with children: many are alike in all but which children these are.
        self._made: dict[tuple[Any, ...], Facts] = {}

    def make(
        self,
        op: str,
        attributes: tuple[Any, ...],
        children: tuple[Facts, ...],
        type: Type,
        operands: Sequence[int] = (),
    ) -> Facts:
        """Facts of a node from the facts of its operands; `operands` are equal where those are."""
        if not children:
            return self._leaf(op, attributes, type)
        is_same = len(operands) == 2 and operands[0] == operands[1]
        key = (op, attributes, children, type, is_same)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = self._derived(op, attributes, children, type, is_same)
        return found

    def _derived(
        self,
        op: str,
        attributes: tuple[Any, ...],
        children: tuple[Facts, ...],
        type: Type,
        is_same: bool,
    ) -> Facts:
        known = self._known(op, attributes, children, type, is_same)
        if stays_integral(op, attributes, children, type):
            known = known._replace(is_integral=True)
        is_frozen = not op.startswith("stablehlo.") and all(x.is_frozen for x in children)
        if self._assumes_finite and stays_finite(op, attributes, children, type, known):
            return Facts(type, None, is_frozen, known, True)
        if known == NOTHING:
            return frozen(type) if is_frozen else unknown(type)
        return Facts(type, None, is_frozen, known)

    def _leaf(self, op: str, attributes: tuple[Any, ...], type: Type) -> Facts:
        assumes = self._assumes_finite
        if op == "constant":
            c = attributes[0]
            return Facts(type, c, True, literal_known(c), assumes and c.is_finite)
        if op == "iota":
            return Facts(type, None, True, _iota(attributes[0], attributes[1]), assumes)
        is_frozen = op == "parameter" and attributes[0] in self._frozen
        if assumes:
            is_input = op == "parameter" and attributes[0] not in self._inner
            return Facts(type, None, is_frozen, NOTHING, is_input)
        return frozen(type) if is_frozen else unknown(type)

    def _known(
        self,
        op: str,
        attributes: tuple[Any, ...],
        children: tuple[Facts, ...],
        type: Type,
        is_same: bool,
    ) -> Known:
        if isinstance(type, TupleType) and op in _SEVERAL:
            return ordering.results(op, attributes, children, type)
        if not isinstance(type, TensorType):
            return NOTHING
        if op == "get_result":
            several = children[0].known.results
            return several[attributes[0]] if several else NOTHING
        transfer = _ELEMENTWISE.get(op)
        if transfer is not None:
            return transfer(attributes, children, type)
        products = _PRODUCTS.get(op)
        if products is not None:
            return products(attributes, children, type, is_same, self._zeros_absorb)
        transfer = _MOVEMENT.get(op)
        if transfer is None or all(x.known is NOTHING for x in children):
            return NOTHING
        return transfer(attributes, children, type)

    def outline(self, data: Facts) -> tuple[Any, ...]:
        """The part of facts that most rules read."""
        return data.outline

    def join(self, a: Facts, b: Facts) -> Facts:
        """Facts of a class that two classes with facts a and b merge into."""
        return join(a, b)


def _iota(dimension: int, type: TensorType) -> Known:
    affine = fitting(Affine(0, tuple(int(d == dimension) for d in range(type.rank))), type)
    if affine is None:
        return NOTHING
    return Known(Range(*affine_bounds(affine, type.shape)), affine=affine)


def facts_of_nodes(
    nodes: Sequence[Node], numerics: Numerics = BITWISE, inner: frozenset[int] = frozenset()
) -> list[Facts]:
    """What is known of the nodes of a graph; `numerics` and `inner` are those of the analysis."""
    analysis, found = FactAnalysis(numerics=numerics, inner=inner), list[Facts]()
    for node in nodes:
        children = tuple(found[i] for i in node.operands)
        found.append(analysis.make(node.op, node.attributes, children, node.type, node.operands))
    return found
