"""Graphs as functions from symbolic indices to elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import z3

from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType
from saturax.testing.smt import values
from saturax.testing.smt.paths import Z3, NotSymbolicError, Path, term, wrap

Index = tuple[Z3, ...]


@dataclass(frozen=True)
class Tensor:
    """A tensor's type, its elements by index, and (of a reshaped one) by row-major position."""

    type: TensorType
    at: Callable[[Index], Z3]
    at_position: Callable[[Z3], Z3] | None = None

    @property
    def shape(self) -> tuple[Any, ...]:
        """Sizes, symbolic or not."""
        return self.type.shape


def evaluate(graph: Graph) -> Tensor:
    """The first output of a graph, as a function of what its parameters are.

    Raises `NotSymbolicError` for an operation without a symbolic meaning.
    """
    tensors: list[Tensor] = []
    for node in graph.nodes:
        meaning = _MEANINGS.get(node.op)
        if meaning is None or not isinstance(node.type, TensorType):
            raise NotSymbolicError(f"{node.op} has no symbolic meaning")
        tensors.append(meaning(node, node.type, [tensors[i] for i in node.operands]))
    return tensors[graph.outputs[0]]


def _parameter(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    sorts = [z3.IntSort()] * type.rank
    name = f"x{node.attributes[0]}"
    if not sorts:
        element = z3.Const(name, values.sort(type.dtype))
        return Tensor(type, lambda index: element)
    function = z3.Function(name, *sorts, values.sort(type.dtype))
    return Tensor(type, lambda index: function(*index))


def _constant(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    literal = node.attributes[0]
    if not isinstance(literal, Literal) or not literal.is_splat:
        raise NotSymbolicError("a constant with distinct elements has no symbolic meaning")
    element = values.constant(literal.value, type.dtype)
    return Tensor(type, lambda index: element, lambda position: element)


def _iota(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    dimension: Any = node.attributes[0]
    return Tensor(type, lambda index: values.iota(index[dimension], type.dtype))


def _elementwise(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    f = node.attributes[0]
    dtype = operands[-1].type.dtype

    def at(index: Index) -> Z3:
        return values.apply(f, [x.at(index) for x in operands], dtype, type.dtype)

    return Tensor(type, at)


# ------------------------------------------------------------------ movement


def _transpose(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    permutation: Any = node.attributes[0]
    (x,) = operands
    places = [permutation.index(d) for d in range(len(permutation))]
    return Tensor(type, lambda index: x.at(tuple(index[place] for place in places)))


def _position(index: Index, shape: Sequence[Any]) -> Z3:
    """Row-major position of an index."""
    position = z3.IntVal(0)
    for i, n in zip(index, shape, strict=True):
        position = position * term(n) + i
    return position


def _reshape(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    (x,) = operands
    shape = type.shape

    def at(index: Index) -> Z3:
        same = _without_ones(index, shape, x.shape)
        return at_position(_position(index, shape)) if same is None else x.at(same)

    def at_position(position: Z3) -> Z3:
        if x.at_position is not None:
            return x.at_position(position)
        return x.at(_unraveled(position, x.shape))

    return Tensor(type, at, at_position)


def _without_ones(index: Index, shape: Sequence[Any], target: Sequence[Any]) -> Index | None:
    """The index into a shape that differs in dimensions of size 1 only; None if others do."""
    kept = [(i, n) for i, n in zip(index, shape, strict=True) if not _is_one(n)]
    wanted = [n for n in target if not _is_one(n)]
    if len(kept) != len(wanted) or not all(
        _entails(term(n) == term(m)) for (_, n), m in zip(kept, wanted, strict=True)
    ):
        return None
    rest = iter(kept)
    return tuple(z3.IntVal(0) if _is_one(n) else next(rest)[0] for n in target)


def _unraveled(position: Z3, shape: Sequence[Any]) -> Index:
    """The index at a row-major position: some function of both, the same for equal shapes."""
    arguments = [position, *map(term, shape)]
    sorts = [z3.IntSort()] * (len(arguments) + 1)
    simple = [z3.simplify(argument, som=True) for argument in arguments]
    return tuple(z3.Function(f"unravel {i}", *sorts)(*simple) for i in range(len(shape)))


def _entails(condition: Z3) -> bool:
    assert Path.current is not None, "tensors are evaluated while exploring only"
    return Path.current.entails(condition)


def _is_one(size: Any) -> bool:
    return size == 1 if isinstance(size, int) else _entails(term(size) == 1)


def _broadcast(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    dimensions: Any = node.attributes[1]
    (x,) = operands

    def at(index: Index) -> Z3:
        return x.at(
            tuple(
                z3.If(term(n) == 1, z3.IntVal(0), index[d])
                for n, d in zip(x.shape, dimensions, strict=True)
            )
        )

    return Tensor(type, at)


def _reverse(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    dimensions: Any = node.attributes[0]
    (x,) = operands

    def at(index: Index) -> Z3:
        return x.at(
            tuple(
                term(n) - 1 - i if d in dimensions else i
                for d, (n, i) in enumerate(zip(x.shape, index, strict=True))
            )
        )

    return Tensor(type, at)


def _slice(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    attributes: Any = node.attributes
    start, _, stride = attributes
    (x,) = operands

    def at(index: Index) -> Z3:
        bounds = zip(start, stride, index, strict=True)
        return x.at(tuple(term(a) + term(s) * i for a, s, i in bounds))

    return Tensor(type, at)


def _pad(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    attributes: Any = node.attributes
    low, _, interior = attributes
    x, value = operands

    def at(index: Index) -> Z3:
        inside, source = [], []
        for a, gap, n, i in zip(low, interior, x.shape, index, strict=True):
            offset, spread = i - term(a), term(wrap(term(gap) + 1))
            inside += [offset >= 0, offset % spread == 0, offset / spread < term(n)]
            source.append(offset / spread)
        return z3.If(z3.And(*inside), x.at(tuple(source)), value.at(()))

    return Tensor(type, at)


def _concatenate(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    d: Any = node.attributes[0]
    x, y = operands
    size = term(x.shape[d])

    def at(index: Index) -> Z3:
        beyond = (*index[:d], index[d] - size, *index[d + 1 :])
        return z3.If(index[d] < size, x.at(index), y.at(beyond))

    return Tensor(type, at)


def _starts(x: Tensor, sizes: Sequence[Any], indices: Sequence[Tensor]) -> list[Z3]:
    """Start indices, clamped so that a window of these sizes fits."""
    starts = []
    for n, size, index in zip(x.shape, sizes, indices, strict=True):
        given = values.as_index(index.at(()), index.type.dtype)
        last = term(n) - term(size)
        starts.append(z3.If(given < 0, 0, z3.If(given > last, last, given)))
    return starts


def _dynamic_slice(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    x, *indices = operands
    starts = _starts(x, type.shape, indices)
    return Tensor(
        type, lambda index: x.at(tuple(a + i for a, i in zip(starts, index, strict=True)))
    )


def _dynamic_update_slice(node: Node, type: TensorType, operands: Sequence[Tensor]) -> Tensor:
    x, update, *indices = operands
    starts = _starts(x, update.shape, indices)

    def at(index: Index) -> Z3:
        offsets = [i - a for i, a in zip(index, starts, strict=True)]
        inside = [
            z3.And(offset >= 0, offset < term(n))
            for offset, n in zip(offsets, update.shape, strict=True)
        ]
        return z3.If(z3.And(*inside), update.at(tuple(offsets)), x.at(index))

    return Tensor(type, at)


_MEANINGS: dict[str, Callable[[Node, TensorType, Sequence[Tensor]], Tensor]] = {
    "parameter": _parameter,
    "constant": _constant,
    "iota": _iota,
    "unary": _elementwise,
    "binary": _elementwise,
    "ternary": _elementwise,
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast,
    "reverse": _reverse,
    "slice": _slice,
    "pad": _pad,
    "concatenate": _concatenate,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
}

SYMBOLIC = frozenset(_MEANINGS)
"""Operations that have a symbolic meaning."""
