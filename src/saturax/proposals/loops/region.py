"""Emitting the loop that is left: its carries, what it reads of each iteration, what it records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import splat
from saturax.graph.ops import (
    add,
    broadcast_scalar,
    constant,
    convert,
    dynamic_slice,
    dynamic_update_slice,
    full,
    multiply,
    reshape,
    subtract,
)
from saturax.graph.types import TensorType, Type
from saturax.proposals.loops.batched import Batched, known
from saturax.proposals.loops.emit import INDEX, count_below, emit_while
from saturax.proposals.loops.plans import Plan, is_free, is_worth_hoisting
from saturax.proposals.loops.roles import Roles
from saturax.proposals.loops.structure import parameters_of


class LoopBuilder:
    """Builds the `while` of what stays inside; used once.

    `item_of(i)` gives node i of the body for all iterations, `outside(k)` what parameter k begins
    with.
    """

    def __init__(
        self,
        roles: Roles,
        plan: Plan,
        is_reversed: bool,
        item_of: Callable[[int], Batched],
        outside: Callable[[int], Value],
    ) -> None:
        self._roles = roles
        self._loop = roles.loop
        self._plan = plan
        self._is_reversed = is_reversed
        self._item_of = item_of
        self._outside = outside
        self._inner = GraphBuilder()
        self._captured: dict[int, tuple[Value, Value]] = {}
        self._carried: dict[int, Value] = {}
        self._values: dict[int, Value] = {}
        self._conditional: dict[int, Value] = {}
        self._step: Value | None = None

    def build(
        self, around: GraphBuilder, carries: Sequence[int], recorded: Sequence[int]
    ) -> tuple[list[Value], list[Value]]:
        """The final values of carries, and the recorded nodes in all iterations, stacked."""
        loop, inner, count = self._loop, self._inner, self._loop.trip_count
        starts: list[Value] = []
        if count is not None:
            starts.append(full(0, INDEX))
            self._step = inner.add_parameter(INDEX)
        for k in carries:
            starts.append(self._outside(k))
            self._carried[k] = inner.add_parameter(loop.body.inputs[k])
        buffers: list[Value] = []
        for place in recorded:
            type = self._stacked_type(place)
            starts.append(broadcast_scalar(constant(splat(0, type.with_shape(()))), type.shape))
            buffers.append(inner.add_parameter(type))
        outputs = self._body(carries, recorded, buffers)
        if count is None:
            for k in parameters_of(loop.condition):
                carried = self._carried.get(k)
                self._conditional[k] = (
                    self._capture(self._outside(k)) if carried is None else carried
                )
        condition = self._condition()
        body = inner.finish(outputs)
        captured = [value for value, _ in self._captured.values()]
        results = emit_while(around, condition, body, starts, captured)
        results = results[0 if count is None else 1 :]
        return results[: len(carries)], results[len(carries) :]

    def _stacked_type(self, node: int) -> TensorType:
        type = self._loop.body.nodes[node].type
        assert isinstance(type, TensorType)
        assert self._loop.trip_count is not None
        return type.with_shape((self._loop.trip_count, *type.shape))

    def _body(
        self, carries: Sequence[int], recorded: Sequence[int], buffers: Sequence[Value]
    ) -> list[Value]:
        outputs: list[Value] = []
        if self._step is not None:
            with building(self._inner):
                outputs.append(add(self._step, full(1, INDEX)))
        outputs += [self._value(self._loop.body.outputs[k]) for k in carries]
        for node, buffer in zip(recorded, buffers, strict=True):
            value = self._value(node)
            with building(self._inner):
                window = reshape(value, (1, *value.shape))
                outputs.append(dynamic_update_slice(buffer, window, self._row_indices(buffer.rank)))
        return outputs

    def _condition(self) -> Graph:
        count = self._loop.trip_count
        if count is not None:
            return count_below(self._inner.inputs, count)
        builder = GraphBuilder(tuple(self._inner.inputs))
        parameters = builder.parameters
        with building(builder):
            original = self._loop.condition
            arguments: list[Value] = []
            for k in range(len(original.inputs)):
                value = self._conditional.get(k)
                if value is None:  # the condition does not read it
                    arguments.append(parameters[0])
                elif value.node.op == "parameter":
                    arguments.append(parameters[value.node.attributes[0]])  # type: ignore[call-overload]
                else:
                    arguments.append(builder.append(value.node))
            return builder.finish(builder.inline(original, arguments))

    # -------------------------------------------------------------- values of one iteration

    def _value(self, index: int) -> Value:
        """A node of the original body, in the new one."""
        stack = [(index, False)]
        while stack:
            node, is_ready = stack.pop()
            if node in self._values:
                continue
            if is_ready:
                found = self._loop.body.nodes[node]
                operands = tuple(self._values[i].index for i in found.operands)
                self._values[node] = self._inner.append(found._replace(operands=operands))
                continue
            leaf = self._leaf(node)
            if leaf is not None:
                self._values[node] = leaf
                continue
            stack.append((node, True))
            stack.extend((i, False) for i in self._loop.body.nodes[node].operands)
        return self._values[index]

    def _leaf(self, index: int) -> Value | None:
        """A node that the new body does not compute from its operands; None if it does."""
        loop, roles = self._loop, self._roles
        node = loop.body.nodes[index]
        number = loop.parameter(index)
        if number is not None and number in self._carried:
            return self._carried[number]
        if number is not None and number in loop.invariant:
            return self._capture(self._outside(number))
        table = loop.tables.get(index)
        if table is not None and table.ndim == 1:
            return self._counted(index, table, node.type)
        if number is None and index in self._plan.inside:
            return None
        if index not in roles.varying:
            hoisted = is_worth_hoisting(roles, index)
            return self._capture(self._item_of(index).value) if hoisted else None
        if number is None and (index not in self._plan.before or is_free(roles, index)):
            return None
        return self._row_of(self._item_of(index))

    def _row_of(self, item: Batched) -> Value:
        """What this iteration finds in a value of all iterations."""
        captured = self._capture(item.value)
        if not item.varies:
            return captured
        with building(self._inner):
            sizes = (1, *captured.shape[1:])
            window = dynamic_slice(captured, self._row_indices(captured.rank), sizes)
            result: Value = reshape(window, captured.shape[1:])
            return result

    def _row_indices(self, rank: int) -> list[Value]:
        assert self._step is not None
        assert self._loop.trip_count is not None
        place = self._step
        if self._is_reversed:
            place = subtract(full(self._loop.trip_count - 1, INDEX), place)
        return [place, *(full(0, INDEX) for _ in range(rank - 1))]

    def _counted(self, index: int, table: np.ndarray[Any, Any], type: Type) -> Value | None:
        """A scalar that depends on counters only, as a linear function of the new counter."""
        assert isinstance(type, TensorType)
        steps = set(np.diff(table.astype(np.int64)).tolist())
        if type.dtype == "i1" or len(steps) > 1:
            return (
                None if self._loop.parameter(index) is None else self._row_of(self._item_of(index))
            )
        assert self._step is not None
        start, step = int(table[0]), steps.pop() if steps else 0
        with building(self._inner):
            if step == 0:
                return full(table[0], type)  # type: ignore[no-any-return]
            result: Value = convert(self._step, type.dtype)
            if step != 1:
                result = multiply(result, full(step, type))
            return result if start == 0 else add(result, full(start, type))

    def _capture(self, value: Value) -> Value:
        """A value around the loop, inside."""
        array = known(value)
        if array is not None and value.node.attributes[0].is_splat:  # type: ignore[attr-defined]
            return self._inner.append(value.node)
        found = self._captured.get(value.index)
        if found is None:
            found = (value, self._inner.add_parameter(value.type))
            self._captured[value.index] = found
        return found[1]
