"""A region whose inputs come with their dimensions in another order, written for that order.

What works element by element, takes parts, repeats, reduces or contracts has its results in the
order in which its operands are; a `transpose` stands where something else asks for the usual one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saturax.graph.build import GraphBuilder, Value, building, make
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import (
    DotDimensions,
    broadcast_in_dim,
    dynamic_slice,
    dynamic_update_slice,
    reduce_,
    reshape,
    slice_,
    transpose,
)
from saturax.graph.types import TensorType, Type

Order = tuple[int, ...]
"""Which dimension of the usual order is at each place."""

_ELEMENTWISE = frozenset({"unary", "binary", "ternary"})
_DEEPEST = 6


def inverse(order: Order) -> Order:
    """The place of each dimension."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def reordered(
    region: Graph, inputs: Sequence[Type], orders: Mapping[int, Order], outputs: Mapping[int, Order]
) -> Graph:
    """A region of `inputs`, some of which come in `orders`; `outputs` are returned in theirs."""
    builder = GraphBuilder(inputs)
    with building(builder):
        body = _Reordered(builder, region, orders)
        return builder.finish(
            [body.value(index, outputs.get(number)) for number, index in enumerate(region.outputs)]
        )


class _Reordered:
    """The nodes of a region, each in some order, and in others when asked for."""

    def __init__(self, builder: GraphBuilder, region: Graph, orders: Mapping[int, Order]) -> None:
        self._builder, self._nodes = builder, region.nodes
        self._orders: list[Order | None] = []  # None: the usual one
        self._values: dict[tuple[int, Order | None], Value] = {}
        for index, node in enumerate(region.nodes):
            if node.op == "parameter":
                number: int = node.attributes[0]  # type: ignore[assignment]
                found: tuple[Value, Order | None] = builder.parameters[number], orders.get(number)
            else:
                found = self._written(node)
            value, order = found
            if order == tuple(range(len(order or ()))):
                order = None
            self._orders.append(order)
            self._values[index, order] = value

    def value(self, index: int, order: Order | None = None, depth: int = 0) -> Value:
        """A value with its dimensions in an order."""
        if (index, order) not in self._values:
            node, known = self._nodes[index], self._orders[index]
            if known is None and order is not None and node.op == "broadcast_in_dim":
                found = self._broadcast(node, order)
            elif known is None and order and node.op in _ELEMENTWISE and depth < _DEEPEST:
                found = self._elementwise(node, order, depth + 1)
            else:
                wanted = range(len(known or ())) if order is None else order
                now = tuple(range(len(wanted))) if known is None else known
                value = self._values[index, known]
                found = transpose(value, tuple([now.index(d) for d in wanted]))
            self._values[index, order] = found
        return self._values[index, order]

    def _written(self, node: Node) -> tuple[Value, Order | None]:
        """A node, and the order in which its result is."""
        orders = [self._orders[i] for i in node.operands]
        first = next((order for order in orders if order is not None), None)
        if first is not None:
            write = getattr(self, f"_write_{node.op}", None)
            if node.op in _ELEMENTWISE:
                return self._elementwise(node, first, 0), first
            if write is not None and (found := write(node, orders)) is not None:
                return found  # type: ignore[no-any-return]
        operands = tuple([self.value(i).index for i in node.operands])
        return self._builder.append(node._replace(operands=operands)), None

    def _elementwise(self, node: Node, order: Order, depth: int) -> Value:
        """A function of each element, whose operands may be scalars."""
        operands = [self.value(i, order if self._rank(i) else None, depth) for i in node.operands]
        result: Value = make(node.op, *operands, attributes=node.attributes)
        return result

    def _broadcast(self, node: Node, order: Order) -> Value:
        """A repeated value in an order, which its operand is brought to."""
        shape: Any = node.type.shape  # type: ignore[union-attr]
        dimensions: Any = node.attributes[1]
        places = [order.index(d) for d in dimensions]
        wanted = tuple(sorted(range(len(places)), key=places.__getitem__))
        usual = tuple(range(len(wanted)))
        operand = self.value(node.operands[0], None if wanted == usual else wanted)
        result: Value = broadcast_in_dim(operand, _placed(shape, order), tuple(sorted(places)))
        return result

    def _write_broadcast_in_dim(self, node: Node, orders: Any) -> tuple[Value, Order] | None:
        """In the order of the operand, what is new before the rest but after the first of it."""
        dimensions: Any = node.attributes[1]
        (first, *rest) = [dimensions[d] for d in orders[0]]
        order = (first, *sorted({*range(self._rank_of(node))} - {first}))
        if [d for d in order if d in rest] != rest:
            return None
        return self._broadcast(node, order), order

    def _write_slice(self, node: Node, orders: Any) -> tuple[Value, Order]:
        parts = [_placed(values, orders[0]) for values in node.attributes]
        return slice_(self._operand(node, orders[0]), *parts), orders[0]

    def _write_pad(self, node: Node, orders: Any) -> tuple[Value, Order]:
        amounts = tuple([_placed(values, orders[0]) for values in node.attributes])
        operands = self._operand(node, orders[0]), self.value(node.operands[1])
        return make("pad", *operands, attributes=amounts), orders[0]

    def _write_concatenate(self, node: Node, orders: Any) -> tuple[Value, Order]:
        order: Order = orders[0] or orders[1]
        operands = [self.value(i, order) for i in node.operands]
        place = order.index(node.attributes[0])
        return make("concatenate", *operands, attributes=(place,)), order

    def _write_dynamic_slice(self, node: Node, orders: Any) -> tuple[Value, Order] | None:
        starts = [self.value(i) for i in node.operands[1:]]
        sizes = _placed(node.attributes[0], orders[0])
        source = self._operand(node, orders[0])
        return dynamic_slice(source, _placed(starts, orders[0]), sizes), orders[0]

    def _write_dynamic_update_slice(self, node: Node, orders: Any) -> tuple[Value, Order]:
        order = orders[0] or orders[1]
        into, update = (self.value(i, order) for i in node.operands[:2])
        starts = [self.value(i) for i in node.operands[2:]]
        return dynamic_update_slice(into, update, _placed(starts, order)), order

    def _write_reduce(self, node: Node, orders: Any) -> tuple[Value, Order]:
        f, dimensions = node.attributes
        gone: Any = set(dimensions)  # type: ignore[call-overload]
        places = tuple([place for place, d in enumerate(orders[0]) if d in gone])
        return reduce_(f, self._operand(node, orders[0]), places), _without(orders[0], gone)

    def _write_reshape(self, node: Node, orders: Any) -> tuple[Value, Order] | None:
        """Dimensions of size 1 come to the front or go, wherever they are."""
        before: Any = self._nodes[node.operands[0]].type
        after: Any = node.type
        added, order = after.rank - before.rank, orders[0]
        if added > 0 and after.shape == (1,) * added + before.shape:
            new = (*range(added), *(d + added for d in order))
        elif added < 0 and (gone := _units(before.shape, after.shape)) is not None:
            new = _without(order, gone)
        else:
            return None
        return reshape(self._operand(node, order), _placed(after.shape, new)), new

    def _write_dot_general(self, node: Node, orders: Any) -> tuple[Value, Order]:
        fields = list(DotDimensions(*node.attributes[0]))  # type: ignore[misc]
        operands, free, count = [], [], len(fields[0])
        for side, index in enumerate(node.operands):
            order: Order = orders[side] or tuple(range(self._rank(index)))
            named = {*fields[side], *fields[side + 2]}
            kept = _without(order, named)
            free += [count + d for d in kept]
            count += len(kept)
            for field in (side, side + 2):
                fields[field] = tuple([order.index(d) for d in fields[field]])
            operands.append(self.value(index, orders[side]))
        order = (*range(len(fields[0])), *free)
        attributes = (DotDimensions(*fields), *node.attributes[1:])
        return make("dot_general", *operands, attributes=attributes), order

    def _operand(self, node: Node, order: Order | None) -> Value:
        return self.value(node.operands[0], order)

    def _rank(self, index: int) -> int:
        return self._rank_of(self._nodes[index])

    def _rank_of(self, node: Node) -> int:
        return node.type.rank if isinstance(node.type, TensorType) else 0


def _placed(values: Any, order: Order) -> tuple[Any, ...]:
    """What belongs to each dimension, in an order."""
    return tuple([values[d] for d in order])


def _without(order: Order, gone: Any) -> Order:
    """The order of the dimensions that are left, which are numbered anew."""
    left = [d for d in order if d not in gone]
    number = {d: n for n, d in enumerate(sorted(left))}
    return tuple([number[d] for d in left])


def _units(before: tuple[int, ...], after: tuple[int, ...]) -> set[int] | None:
    """Dimensions of size 1 without which one shape is another; None if it is not."""
    gone, kept = set(), list(after)
    for d, size in reversed(list(enumerate(before))):
        if kept and kept[-1] == size:
            kept.pop()
        elif size == 1:
            gone.add(d)
        else:
            return None
    return None if kept else gone
