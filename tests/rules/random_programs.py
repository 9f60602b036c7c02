"""Random programs of which much is known: constants of a structure, masks, small computations."""

from __future__ import annotations

from typing import Any

import numpy as np

from saturax.graph.build import GraphBuilder, Value
from saturax.graph.ir import Graph
from saturax.graph.sampling import DTYPES, FREE, Draw, complete
from saturax.graph.types import TensorType
from saturax.testing.structured import computed_operand, structured_literal

OPERATIONS = (
    *("unary",) * 5,
    *("binary",) * 6,
    *("ternary",) * 3,
    *"transpose reshape broadcast_in_dim reverse slice pad concatenate dynamic_slice".split(),
    *"dynamic_update_slice gather dot_general dot_general convolution reduce reduce".split(),
    "reduce_window",
)
ARITY = {"unary": 1, "binary": 2, "ternary": 3, "pad": 2, "concatenate": 2, "gather": 2}
ARITY |= {"dot_general": 2, "convolution": 2}
ATTRIBUTES = {"reshape": 1, "broadcast_in_dim": 2, "slice": 3, "pad": 3, "gather": 3}
ATTRIBUTES |= {"dot_general": 3, "convolution": 5, "reduce": 2, "reduce_window": 2}
ATTRIBUTES |= {"dynamic_update_slice": 0}


class Programs:
    """Draws programs whose values often have facts."""

    def __init__(self, seed: int) -> None:
        self.draw = Draw(np.random.default_rng(seed))
        self.builder = GraphBuilder(exact=True)
        self.values: list[Value] = []

    def leaf(self, type: TensorType) -> Value:
        """A parameter, a constant of a structure, or a small computation."""
        draw, builder = self.draw, self.builder
        kind = draw.integer(0, 4)
        if kind == 0:
            return builder.make("constant", (draw.literal(type),), ())
        if kind == 1:
            return builder.make("constant", (structured_literal(draw, type),), ())
        if kind == 2 and type.rank and type.dtype != "i1":
            return builder.make("iota", (draw.integer(0, type.rank - 1), type), ())
        if kind == 3:
            graph = computed_operand(draw, type)
            if graph is not None:
                (value,) = builder.inline(graph, [builder.add_parameter(t) for t in graph.inputs])
                return value
        return builder.add_parameter(type)

    def operand(self, type: TensorType) -> Value:
        """A value of this type: one that is there, or a new one."""
        fitting = [value for value in self.values if value.type == type]
        if fitting and self.draw.chance(0.8):
            return self.draw.pick(fitting)
        value = self.leaf(type)
        self.values.append(value)
        return value

    def grow(self) -> None:
        """Add an operation."""
        draw = self.draw
        op = draw.pick(OPERATIONS)
        first = draw.pick(self.values)
        arity = {"dynamic_slice": 1 + first.rank, "dynamic_update_slice": 2 + first.rank}
        count = arity.get(op) or ARITY.get(op, 1)
        attributes = (FREE,) * ATTRIBUTES.get(op, 1)
        place = 1 if op == "ternary" and draw.chance(0.7) else 0
        types: list[Any] = [None] * count
        types[place] = first.type
        found = complete(draw, op, None, types, attributes)
        if found is None:
            return
        operands = [
            first if i == place else self.operand(type) for i, type in enumerate(found.operands)
        ]
        if op in ("binary", "dot_general") and draw.chance(0.2):
            if found.operands[0] == found.operands[1]:
                operands = [first, first]
        self.values.append(self.builder.make(op, found.attributes, tuple(operands)))

    def graph(self, size: int) -> Graph:
        """A program of about `size` operations."""
        dtype = self.draw.pick(("f32",) * 4 + ("i32",) * 3 + ("i8", "i1", "f64") + DTYPES)
        shape = self.draw.shape(self.draw.pick((1, 2, 2, 2, 3)))
        if self.draw.chance(0.5) and len(shape) >= 2:
            shape = (*shape[:-1], shape[-2])
        self.draw.dtype = dtype
        self.values = [self.leaf(TensorType(shape, dtype)) for _ in range(3)]
        for _ in range(size):
            self.grow()
        return self.builder.finish(self.values)
