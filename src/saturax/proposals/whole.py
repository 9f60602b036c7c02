"""Elementwise functions of several parts of one value, applied once to the whole of it.

f(x[a:b] + c), f(x[b:d])    =    parts of f(x + (c, …, c, -0, …, -0))

as in the gates of a recurrent cell. What several others use is a kernel of its own, of one function
and many elements; fused into its users it is several functions of few elements, one waiting for
the other. In loops this is worth more than the elements that are computed in vain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building, make
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.ops import (
    PURE,
    add,
    broadcast_in_dim,
    constant,
    full,
    generic_of,
    slice_dimension,
)
from saturax.graph.ops.elementwise import TRANSCENDENTAL, function_name
from saturax.graph.types import TensorType, is_float, numpy_dtype
from saturax.proposals.equality import Equalities

_DEEPEST = 6
_WHILE = "stablehlo.while"


def apply_to_whole(equalities: Equalities) -> None:
    """Propose transcendental functions of most of a value's parts as parts of one, in loops too.

    A loop is proposed with all that is found in its body, to be judged by its measured time.
    """
    _Functions(equalities).propose()
    for index, node in enumerate(equalities.graph.nodes):
        generic = generic_of(node)
        if node.op != _WHILE or generic is None or generic.sequence != PURE:
            continue
        condition, body = generic.regions
        inside = Equalities(body, equalities.numerics)
        inside.reason = equalities.reason
        _Functions(inside).propose()
        if inside.pairs:
            attributes = (generic._replace(regions=(condition, _replaced(inside))),)
            operands = [equalities.value(operand) for operand in node.operands]
            loop = equalities.builder.generic(node.op, attributes, operands, node.type)
            equalities.equate(index, loop)


class _Part(NamedTuple):
    """The elements from `start` to `limit` along one dimension of a value with some shape."""

    dimension: int
    start: int
    limit: int
    shape: tuple[int, ...]


class _Chain(NamedTuple):
    """Elementwise work on one variable: what it does, and to what.

    The function of `steps` is applied to `core` + `shift`, a constant.
    """

    steps: tuple[Hashable, ...]
    core: int
    shift: Any


@dataclass(frozen=True)
class _Member:
    """A node that is such a function of one part of larger values."""

    index: int
    chain: _Chain
    part: _Part


class _Functions:
    """The functions of parts in a graph."""

    def __init__(self, equalities: Equalities) -> None:
        self._equalities = equalities
        self._nodes = equalities.graph.nodes
        self._ends = self._ends_of_chains()

    def propose(self) -> None:
        """State what functions of most parts of a value are in terms of the whole."""
        families: dict[Hashable, dict[_Part, _Member]] = defaultdict(dict)
        for index in self._ends:
            found = self._member(index)
            if found is not None:
                key, member = found
                families[key].setdefault(member.part, member)
        for parts in families.values():
            with building(self._equalities.builder):
                self._join(_disjoint(parts.values()))

    def _ends_of_chains(self) -> list[int]:
        """Nodes that something else than elementwise work on this one variable needs."""
        found = set(self._equalities.graph.outputs)
        for index, node in enumerate(self._nodes):
            if self._variable(index) is None:
                found.update(node.operands)
        return sorted(found)

    def _variable(self, index: int) -> int | None:
        """The only operand of elementwise work that is no constant."""
        node = self._nodes[index]
        if not _is_elementwise(node):
            return None
        variables = [operand for operand in node.operands if self._splat(operand) is None]
        return variables[0] if len(variables) == 1 else None

    def _member(self, index: int) -> tuple[Hashable, _Member] | None:
        """A function of a part, and what it has in common with those of other parts."""
        type = self._nodes[index].type
        if not isinstance(type, TensorType) or not is_float(type.dtype):
            return None
        chain = self._chain(index)
        part = None if chain is None else self._part(chain.core)
        if chain is None or part is None:
            return None
        form = self._form(chain.core, part)
        if form is None:
            return None
        return (chain.steps, part.dimension, form), _Member(index, chain, part)

    def _chain(self, index: int) -> _Chain | None:
        """The elementwise work that ends at a node, if some of it is transcendental."""
        steps: list[Hashable] = []
        is_heavy = False
        while (variable := self._variable(index)) is not None:
            node = self._nodes[index]
            shift = self._shift(node, variable)
            if shift is not None and self._variable(variable) is None:
                return _Chain(tuple(steps), variable, shift) if is_heavy else None
            is_heavy |= function_name(node.attributes[0]) in TRANSCENDENTAL
            constants = (self._splat(operand) for operand in node.operands)
            steps.append(
                (node.op, node.attributes, *(c if c is None else c.tobytes() for c in constants))
            )
            index = variable
        zero = self._dtype(index).type(-0.0)
        return _Chain(tuple(steps), index, zero) if is_heavy else None

    def _shift(self, node: Node, variable: int) -> Any:
        """The constant that a node adds to a variable; None if it does anything else."""
        f = node.attributes[0]
        if node.op != "binary" or f not in ("add", "subtract"):
            return None
        if f == "subtract" and node.operands[0] != variable:
            return None
        (value,) = (self._splat(operand) for operand in node.operands if operand != variable)
        return value if f == "add" else -value

    def _dtype(self, index: int) -> Any:
        return numpy_dtype(self._nodes[index].type.dtype)  # type: ignore[union-attr]

    def _splat(self, index: int) -> Any:
        """The value of all elements of a constant."""
        node = self._nodes[index]
        if node.op == "broadcast_in_dim":
            return self._splat(node.operands[0])
        literal: Any = node.attributes[0] if node.op == "constant" else None
        return literal.value if literal is not None and literal.is_splat else None

    def _part(self, index: int, depth: int = 0) -> _Part | None:
        """The part that the first slice under elementwise work takes."""
        node = self._nodes[index]
        if node.op == "slice":
            return self._sliced(node)
        if not _is_elementwise(node) or depth == _DEEPEST:
            return None
        parts = (self._part(operand, depth + 1) for operand in node.operands)
        return next((part for part in parts if part is not None), None)

    def _sliced(self, node: Node) -> _Part | None:
        starts, limits, strides = node.attributes
        shape: tuple[int, ...] = self._nodes[node.operands[0]].type.shape  # type: ignore[union-attr]
        cuts = [
            _Part(d, start, limit, shape)
            for d, (start, limit) in enumerate(zip(starts, limits, strict=True))  # type: ignore[call-overload]
            if (start, limit) != (0, shape[d])
        ]
        is_dense = strides == (1,) * len(shape)
        return cuts[0] if len(cuts) == 1 and is_dense else None

    def _form(self, index: int, part: _Part, depth: int = 0) -> Hashable | None:
        """Elementwise work on a part, with slices replaced by what they are slices of."""
        node = self._nodes[index]
        if node.op == "slice":
            return ("slice", node.operands[0]) if self._sliced(node) == part else None
        value = self._splat(index)
        if value is not None:
            return ("constant", value.tobytes())
        if not _is_elementwise(node) or depth == _DEEPEST:
            return None
        forms = [self._form(operand, part, depth + 1) for operand in node.operands]
        return None if None in forms else (node.op, node.attributes, *forms)

    def _join(self, members: Sequence[_Member]) -> None:
        """Propose functions of parts that do not overlap as parts of one."""
        first = members[0]
        d, shape = first.part.dimension, first.part.shape
        covered = sum(member.part.limit - member.part.start for member in members)
        if len(members) < 2 or 2 * covered < shape[d]:
            return
        shifts = np.full(shape[d], -0.0, self._dtype(first.chain.core))
        for member in members:
            shifts[member.part.start : member.part.limit] = member.chain.shift
        core = self._whole(first.chain.core, shape)
        # Adding -0.0 changes nothing, adding 0.0 changes -0.0.
        if shifts.any() or not np.signbit(shifts).all():
            core = add(core, broadcast_in_dim(constant(Literal(shifts)), shape, (d,)))
        joined = self._applied(first, core)
        for member in members:
            part = slice_dimension(joined, d, member.part.start, member.part.limit)
            self._equalities.equate(member.index, part)

    def _applied(self, member: _Member, core: Value) -> Value:
        """The steps of a member's chain, from first to last, applied to the whole."""
        path = [member.index]
        while len(path) < len(member.chain.steps):
            variable = self._variable(path[-1])
            assert variable is not None
            path.append(variable)
        value = core
        for index in reversed(path):
            node, variable = self._nodes[index], self._variable(index)
            operands = [
                value if operand == variable else self._whole(operand, core.shape)
                for operand in node.operands
            ]
            value = make(node.op, *operands, attributes=node.attributes)
        return value

    def _whole(self, index: int, shape: Sequence[int]) -> Value:
        """Elementwise work on a part, on the whole."""
        node = self._nodes[index]
        if node.op == "slice":
            return self._equalities.value(node.operands[0])
        value = self._splat(index)
        if value is not None:
            type: Any = node.type
            return full(value, type.with_shape(tuple(shape)))  # type: ignore[no-any-return]
        operands = [self._whole(operand, shape) for operand in node.operands]
        return make(node.op, *operands, attributes=node.attributes)  # type: ignore[no-any-return]


def _is_elementwise(node: Node) -> bool:
    return node.op in ("unary", "binary", "ternary")


def _disjoint(members: Iterable[_Member]) -> list[_Member]:
    """Members whose parts do not overlap, from the first part to the last."""
    chosen: list[_Member] = []
    for member in sorted(members, key=lambda member: member.part):
        if not chosen or member.part.start >= chosen[-1].part.limit:
            chosen.append(member)
    return chosen


def _replaced(equalities: Equalities) -> Graph:
    """The graph with each node of an equality replaced by what is new."""
    new = {index: value for index, value, _ in equalities.pairs}
    builder = GraphBuilder(equalities.graph.inputs, exact=True)
    places: dict[int, int] = {}
    pending = [(output, False) for output in equalities.graph.outputs]
    while pending:
        index, is_ready = pending.pop()
        wanted = new.get(index, index)
        node = equalities.nodes[wanted]
        if index in places:
            continue
        if wanted != index:
            if wanted in places:
                places[index] = places[wanted]
            else:
                pending += [(index, False), (wanted, False)]
        elif is_ready:
            operands = tuple(places[operand] for operand in node.operands)
            places[index] = builder.append(node._replace(operands=operands)).index
        else:
            pending += [(index, True), *((operand, False) for operand in node.operands)]
    outputs = tuple(places[output] for output in equalities.graph.outputs)
    return Graph(equalities.graph.inputs, tuple(builder.nodes), outputs)
