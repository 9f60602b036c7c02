"""A `while` of a graph as a loop: trip count, counters, and what is known in each iteration.

The loop's body is normalised: what is a known constant in every iteration is written as one,
carries that are always equal become one, and a scatter of one window is an update of a slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.operation import TABLE
from saturax.graph.ops import (
    PURE,
    binary,
    dynamic_slice,
    dynamic_update_slice,
    generic_of,
    reshape,
    slice_dimension,
)
from saturax.graph.ops.scatter import SET, ScatterDimensions, window_sizes
from saturax.graph.reference import UnsupportedError, evaluate_operation
from saturax.graph.types import TensorType, TupleType, is_integer, numpy_dtype
from saturax.proposals.loops.batched import Batched, constant_of, known
from saturax.proposals.loops.masked import with_masked_terms
from saturax.proposals.loops.vectorise import apply_to_all, can_apply

WHILE = "stablehlo.while"
# Conditions are evaluated for so many iterations at most, and in pieces of this size.
_MOST_ITERATIONS, _PIECE = 1 << 20, 1 << 12
_LARGEST_KNOWN = 64

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Loop:
    """A loop without effects; body, condition and captured values are numbered as in the `while`.

    Parameter k of both graphs is carry k, and after the `carries` come the captured values.
    `initial` and `captured` are nodes of the graph around it; `results` maps carries to the nodes
    there that stand for their final values (a carry that always equals an earlier one has none:
    its nodes are listed with the earlier one). `trip_count` is None where it is not known; then
    nothing is known of single iterations. `counters` have the values of counting carries in all
    iterations and after the last. `tables` have those of small nodes of the body that depend on
    counters only, a row for each iteration.
    """

    index: int
    condition: Graph
    body: Graph
    initial: tuple[int, ...]
    captured: tuple[int, ...]
    results: Mapping[int, tuple[int, ...]]
    trip_count: int | None
    counters: Mapping[int, Array]
    tables: Mapping[int, Array]

    @property
    def carries(self) -> int:
        """Number of carried values."""
        return len(self.initial)

    def parameter(self, node: int) -> int | None:
        """The number of the parameter that a node of the body is; None if it is none."""
        found = self.body.nodes[node]
        return found.attributes[0] if found.op == "parameter" else None  # type: ignore[return-value]

    @property
    def invariant(self) -> frozenset[int]:
        """Parameters of the body that have one value in all iterations."""
        unchanged = [k for k, out in enumerate(self.body.outputs) if self.parameter(out) == k]
        return frozenset((*unchanged, *range(self.carries, len(self.body.inputs))))

    def with_body(self, body: Graph) -> Loop:
        """The loop with a body of equal results."""
        tables = _tables(body, self.counters, self.trip_count) if self.trip_count else {}
        return replace(self, body=body, tables=tables)


def parameters_of(graph: Graph) -> frozenset[int]:
    """The numbers of the parameters that a graph reads."""
    return frozenset(node.attributes[0] for node in graph.nodes if node.op == "parameter")  # type: ignore[misc]


def loops_of(graph: Graph) -> Iterator[Loop]:
    """The loops of a graph (not those in its regions) that have no effects."""
    for index, node in enumerate(graph.nodes):
        if node.op == WHILE:
            loop = read_loop(graph, index)
            if loop is not None:
                yield loop


def read_loop(graph: Graph, index: int) -> Loop | None:
    """The loop that a `while` is; None if it has effects."""
    node = graph.nodes[index]
    generic = generic_of(node)
    assert generic is not None
    condition, body = generic.regions
    if generic.sequence != PURE or condition.effects or body.effects:
        return None
    carries = len(node.operands) - generic.captures
    initial, captured = node.operands[:carries], node.operands[carries:]
    constants = _known_constants(graph, body, (*initial, *captured), carries)
    leader = _leaders(body, initial)
    twins = {
        k: Node("parameter", (first,), (), body.inputs[k])
        for k, first in leader.items()
        if k != first
    }
    condition, body = (_with_leaves(region, twins) for region in (condition, body))
    condition, body = (_with_leaves(region, constants) for region in (condition, body))
    body = with_masked_terms(body, carries)
    steps = _counting(graph, body, initial)
    trip_count = _trip_count(condition, steps)
    counters: dict[int, Array] = {}
    tables: dict[int, Array] = {}
    if trip_count:
        counters = {k: _values(step, 0, trip_count + 1) for k, step in steps.items()}
        tables = _tables(body, counters, trip_count)
        body, is_changed = _with_updates(body, tables)
        tables = _tables(body, counters, trip_count) if is_changed else tables
    return Loop(
        index,
        condition,
        body,
        initial,
        captured,
        _results(graph, index, leader),
        trip_count,
        counters,
        tables,
    )


def _results(graph: Graph, index: int, leader: Mapping[int, int]) -> dict[int, tuple[int, ...]]:
    if not isinstance(graph.nodes[index].type, TupleType):
        return {0: (index,)}
    found: dict[int, tuple[int, ...]] = {}
    for place, node in enumerate(graph.nodes):
        if node.op == "get_result" and node.operands == (index,):
            carry = leader[node.attributes[0]]  # type: ignore[index]
            found[carry] = (*found.get(carry, ()), place)
    return found


def _literal(node: Node) -> Literal | None:
    return node.attributes[0] if node.op == "constant" else None  # type: ignore[return-value]


# ------------------------------------------------------------------ normalising a body


def _known_constants(
    graph: Graph, body: Graph, outside: Sequence[int], carries: int
) -> dict[int, Node]:
    """Parameters that are one small or uniform constant in all iterations."""
    found: dict[int, Node] = {}
    for number, place in enumerate(outside):
        node = graph.nodes[place]
        literal = _literal(node)
        if literal is None or not (literal.is_splat or literal.type.size <= _LARGEST_KNOWN):
            continue
        unchanged = number >= carries or (
            body.nodes[body.outputs[number]] == Node("parameter", (number,), (), node.type)
        )
        if unchanged:
            found[number] = node
    return found


def _with_leaves(region: Graph, leaves: Mapping[int, Node]) -> Graph:
    """A region with other leaves in the place of some parameters; equal nodes become one.

    Operations that return their operand are left out. A parameter that is returned as it is stays
    what is returned, so that its carry is seen to be invariant.
    """
    builder = GraphBuilder(exact=True)
    builder.inputs.extend(region.inputs)
    new: list[int] = []
    for node in region.nodes:
        number: Any = node.attributes[0] if node.op == "parameter" else None
        if _is_no_op(region, node):
            new.append(new[node.operands[0]])
            continue
        mapped = node._replace(operands=tuple(new[i] for i in node.operands))
        new.append(builder.append(leaves.get(number, mapped)).index)
    outputs = []
    for output in region.outputs:
        node = region.nodes[output]
        while _is_no_op(region, node):
            node = region.nodes[node.operands[0]]
        outputs.append(builder.append(node).index if node.op == "parameter" else new[output])
    return Graph(region.inputs, tuple(builder.nodes), tuple(outputs))


def _is_no_op(region: Graph, node: Node) -> bool:
    """Whether an operation returns its operand, as JAX's conversions of weak types do."""
    row = TABLE.get(node.op)
    if row is None or not node.operands:
        return False
    return row.is_no_op(node.attributes, [region.nodes[i].type for i in node.operands])


def _leaders(body: Graph, initial: Sequence[int]) -> dict[int, int]:
    """For each carry the first one that equals it in every iteration."""
    leader = {k: initial.index(place) for k, place in enumerate(initial)}
    while True:
        leaves = {k: Node("parameter", (first,), (), body.inputs[k]) for k, first in leader.items()}
        merged = _with_leaves(body, leaves)
        groups: dict[tuple[int, int], int] = {}
        refined: dict[int, int] = {}
        for k, output in enumerate(merged.outputs):
            node: Any = merged.nodes[output]
            is_own = node.op == "parameter" and node.attributes[0] == k
            key = (leader[k], -1 if is_own else output)
            refined[k] = groups.setdefault(key, k)
        if refined == leader:
            return leader
        leader = refined


def _with_updates(body: Graph, tables: Mapping[int, Array]) -> tuple[Graph, bool]:
    """A body in which scatters of one window at known places are `dynamic_update_slice`.

    One that combines, c.at[i].multiply(x), reads the window that it writes.
    """
    if not any(node.op == "scatter" for node in body.nodes):
        return body, False
    builder = GraphBuilder(exact=True)
    builder.inputs.extend(body.inputs)
    new: list[Value] = []
    changed = False
    with building(builder):
        for node in body.nodes:
            operands = [new[i] for i in node.operands]
            indices = tables.get(node.operands[1]) if node.op == "scatter" else None
            update = None if indices is None else _as_update(node, operands, indices)
            changed |= update is not None
            kept = node._replace(operands=tuple(value.index for value in operands))
            new.append(builder.append(kept) if update is None else update)
    outputs = tuple(new[output].index for output in body.outputs)
    return Graph(body.inputs, tuple(builder.nodes), outputs), changed


def _as_update(node: Node, operands: Sequence[Value], indices: Array) -> Value | None:
    """A scatter of one window, in bounds at all known `indices`, as an update."""
    f, fields, _, _ = node.attributes
    d = ScatterDimensions(*fields)  # type: ignore[misc]
    x, where, updates = operands
    if where.rank != 1 or d.index_vector_dim != 0 or d.input_batching_dims:
        return None
    if not isinstance(f, str):  # combined by a function without a name
        return None
    sizes = window_sizes(d, x.tensor, updates.tensor)
    rows = indices.reshape(-1, where.shape[0])
    starts: list[Value] = []
    for dimension in range(x.rank):
        if dimension not in d.scatter_dims_to_operand_dims:
            starts.append(constant_of(np.zeros((), numpy_dtype(where.dtype))))
            continue
        column = d.scatter_dims_to_operand_dims.index(dimension)
        values = rows[:, column]
        if (values < 0).any() or (values > x.shape[dimension] - sizes[dimension]).any():
            return None
        starts.append(reshape(slice_dimension(where, 0, column, column + 1), ()))
    window: Value = reshape(updates, sizes)
    if f != SET:
        window = binary(f, dynamic_slice(x, starts, sizes), window)
    result: Value = dynamic_update_slice(x, window, starts)
    return result


# ------------------------------------------------------------------ counting


@dataclass(frozen=True)
class _Counting:
    """A carry that begins with `start` and changes by `step` in every iteration."""

    start: int
    step: int
    dtype: str


def _counting(graph: Graph, body: Graph, initial: Sequence[int]) -> dict[int, _Counting]:
    """The carries that count from a known number in known steps."""
    found: dict[int, _Counting] = {}
    for number, place in enumerate(initial):
        type, first = body.inputs[number], _literal(graph.nodes[place])
        is_scalar = isinstance(type, TensorType) and type.shape == () and is_integer(type.dtype)
        step = _step(body, number) if is_scalar else None
        if first is not None and step is not None:
            assert isinstance(type, TensorType)
            found[number] = _Counting(int(first.value), step, type.dtype)
    return found


def _step(body: Graph, number: int) -> int | None:
    """By how much the body changes an integer carry, if that is a constant."""
    node = body.nodes[body.outputs[number]]
    if node.op != "binary" or node.attributes[0] not in ("add", "subtract"):
        return None
    operands = [body.nodes[operand] for operand in node.operands]
    if node.attributes[0] == "add" and operands[0].op == "constant":
        operands.reverse()
    literal = _literal(operands[1])
    if literal is None or operands[0].op != "parameter" or operands[0].attributes[0] != number:
        return None
    amount = int(literal.value)
    return amount if node.attributes[0] == "add" else -amount


def _values(counting: _Counting, begin: int, end: int) -> Array:
    """The values of a counter in iterations begin … end - 1, wrapped as its type does."""
    values = counting.start + counting.step * np.arange(begin, end, dtype=np.int64)
    return values.astype(numpy_dtype(counting.dtype))


def _trip_count(condition: Graph, counting: Mapping[int, _Counting]) -> int | None:
    """In which iteration a condition on counters first fails; None if that is not known."""
    for begin in range(0, _MOST_ITERATIONS, _PIECE):
        holds = _evaluate_condition(condition, counting, begin)
        if holds is None:
            return None
        if not holds.all():
            return begin + int(np.argmin(holds))
    return None


def _evaluate_condition(
    condition: Graph, counting: Mapping[int, _Counting], begin: int
) -> Array | None:
    """The condition in a piece of the iterations; None if it depends on anything but counters."""
    values: dict[int, Array] = {}
    for index, node in enumerate(condition.nodes):
        type = node.type
        if not isinstance(type, TensorType) or type.shape != ():
            continue
        literal = _literal(node)
        if literal is not None:
            values[index] = np.broadcast_to(literal.array, (_PIECE,))
        elif node.op == "parameter" and node.attributes[0] in counting:
            counter = counting[node.attributes[0]]  # type: ignore[index]
            values[index] = _values(counter, begin, begin + _PIECE)
        elif node.op in ("unary", "binary", "ternary"):
            if all(operand in values for operand in node.operands):
                operands = [values[operand] for operand in node.operands]
                wide = type.with_shape((_PIECE,))
                try:
                    values[index] = evaluate_operation(node.op, node.attributes, operands, wide)
                except UnsupportedError:
                    continue
    return values.get(condition.outputs[0])


def _tables(body: Graph, counters: Mapping[int, Array], count: int) -> dict[int, Array]:
    """Values, in all iterations, of integer and Boolean nodes that depend on counters only.

    One row for each iteration, or one value where it does not vary.
    """
    builder = GraphBuilder()
    items: dict[int, Batched] = {}
    with building(builder):
        for index, node in enumerate(body.nodes):
            if not _may_be_table(node):
                continue
            if node.op == "parameter":
                if node.attributes[0] in counters:
                    values = counters[node.attributes[0]][:count]  # type: ignore[index]
                    items[index] = Batched(constant_of(values), True)
                continue
            is_of_table = node.op in TABLE and can_apply(node)
            if node.op not in ("constant", "iota") and not is_of_table:
                continue
            if all(operand in items for operand in node.operands):
                operands = [items[operand] for operand in node.operands]
                item = apply_to_all(builder, node, operands, count)
                if known(item.value) is not None:
                    items[index] = item
    rows: dict[int, Array] = {}
    for index, item in items.items():
        array = known(item.value)
        assert array is not None
        rows[index] = array if item.varies else np.broadcast_to(array, (count, *array.shape))
    return rows


def _may_be_table(node: Node) -> bool:
    type = node.type
    return (
        isinstance(type, TensorType)
        and type.size <= _LARGEST_KNOWN
        and (type.dtype == "i1" or is_integer(type.dtype))
    )
