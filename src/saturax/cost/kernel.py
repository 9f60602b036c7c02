"""What is priced: one operation as XLA would run it, and how its price is looked up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from saturax.cost.collectives import COLLECTIVES
from saturax.cost.loops import WHILE, ends
from saturax.graph.build import result_types
from saturax.graph.fingerprint import canonical_text
from saturax.graph.ir import Graph, Node
from saturax.graph.literal import Literal
from saturax.graph.operation import TABLE
from saturax.graph.ops import BARRIER, DotDimensions, Generic, generic_of
from saturax.graph.ops.elementwise import TRANSCENDENTAL
from saturax.graph.ops.layout import strips_to_same_order
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.types import TensorType, TupleType, Type, is_float

_ALWAYS_MEASURED = frozenset(
    {"dot_general", "blocked_dot", "convolution", "reduce", "reduce_window"}
    | {"gather", "scatter"}
    | {"sort", "sort_pair", "top_k", "arg_reduce", "fft", "lu_permutation"}
    | LINEAR_ALGEBRA
)
# Loops may run for ever on random inputs, calls have effects: these are modelled, unless it is
# certain that a loop ends. The body of a manual computation is what each device of a mesh runs.
IF = "stablehlo.if"
BRANCHES = frozenset({"stablehlo.case", IF})
CONTROL_FLOW = BRANCHES | {WHILE, "sdy.manual_computation"}
BITCASTS = ("reshape", "transpose", "broadcast_in_dim")
"""Operations that may leave their operand's elements as they lie in memory."""
EXPENSIVE = TRANSCENDENTAL | {"divide", "remainder", "sqrt", "rsqrt"}
"""Functions whose arithmetic a fusion may wait for."""
DISTANT_OPERANDS = ("dot_general", "blocked_dot", "convolution", "slice", "dynamic_slice")
"""They wait for their operands: how far those are is part of their price."""
# XLA multiplies, divides and takes roots for powers with these exponents: 0.6 ns where others take
# 3.6 (65,536 floats, two cores, Xeon 6/106).
_INSTEAD_OF_POWER = {-1.0: "divide", 0.5: "sqrt", 2.0: "multiply", 3.0: "multiply"}
_NEVER_MEASURED = CONTROL_FLOW | COLLECTIVES | {"stablehlo.custom_call", BARRIER}


@dataclass(frozen=True)
class Kernel:
    """One operation on operands of given types.

    `levels` says how far operands are from the processor (`distance`), 0 being the nearest cache;
    () stands for zeros.
    """

    op: str
    attributes: tuple[Any, ...]
    operands: tuple[Type, ...]
    type: Type
    levels: tuple[int, ...] = ()

    @cached_property
    def key(self) -> str:
        """Text that identifies the kernel in the price database."""
        if self.op == "dot_general" and self._has_single_elements:
            return self._without_single_elements().key
        operands = ",".join(map(str, self.operands))
        levels = "@" + "".join(map(str, self.levels)) if any(self.levels) else ""
        some = "" if self._results is None else f"[{len(self._results)} of them]"
        return f"{self.op}{canonical_text(self.attributes)}({operands})->{self.type}{some}{levels}"

    @cached_property
    def near(self) -> Kernel:
        """The same kernel with all its operands in the nearest cache."""
        return replace(self, levels=()) if self.levels else self

    @cached_property
    def is_measurable(self) -> bool:
        """Whether its price should be measured: a kernel of its own that can run by itself."""
        results = result_types(self.type)
        if not results or not all(isinstance(t, TensorType) for t in (*self.operands, *results)):
            return False
        if self.op in _ALWAYS_MEASURED:
            return byte_size(self.type) > 0
        if self.op == "transpose":
            return not self.is_bitcast and self.bytes > 1 << 14
        if self.op == "concatenate":
            return self.bytes > 1 << 18
        if self.op in ("slice", "dynamic_slice"):
            return byte_size(self.type) > 1 << 18
        generic = self.generic
        if generic is not None and generic.sequence < 0 and self.op == WHILE:
            return ends(generic)
        if generic is None or generic.sequence >= 0 or generic.captures:
            return False
        # What refers to a symbol (a mesh, a function) cannot be a module of its own.
        is_closed = not any("@" in text for _, text in generic.attributes)
        return is_closed and self.op not in _NEVER_MEASURED

    @property
    def generic(self) -> Generic | None:
        """The attributes of a generic operation; None for an operation of the table."""
        return generic_of(Node(self.op, self.attributes, (), self.type))

    @cached_property
    def is_bitcast(self) -> bool:
        """Whether the result has the elements of the operand in the same order in memory."""
        if self.op == "reshape":
            return True
        if self.op not in BITCASTS:
            return False
        (operand,) = self.operands
        assert isinstance(operand, TensorType)
        assert isinstance(self.type, TensorType)
        if operand.size != self.type.size:
            return False
        order = self.attributes[0] if self.op == "transpose" else None
        return order is None or strips_to_same_order(operand.shape, order)

    @property
    def _has_single_elements(self) -> bool:
        return any(isinstance(type, TensorType) and 1 in type.shape for type in self.operands)

    def _without_single_elements(self) -> Kernel:
        """The same product without dimensions of one element, which XLA removes, too."""
        assert isinstance(self.type, TensorType)
        d: DotDimensions = self.attributes[0]
        shapes = [operand.shape for operand in self.operands if isinstance(operand, TensorType)]
        left, right = (_renumbered(shape) for shape in shapes)
        dimensions = DotDimensions(
            *(
                tuple(places[i] for i in group if i in places)
                for group, places in zip(d, (left, right, left, right), strict=True)
            )
        )
        return replace(
            self,
            attributes=(dimensions, *self.attributes[1:]),
            operands=tuple(map(_squeezed, self.operands)),
            type=_squeezed(self.type),
        )

    @cached_property
    def in_region(self) -> Kernel:
        """What costs as much as the operation does in the body of a loop or in a branch.

        XLA:CPU (jaxlib 0.10.2) turns the convolutions of a program itself round until its library
        takes them. Elsewhere only those with features last are the library's; the others are loops
        of its own, like those with reversed windows: 5 taps along 256×256 take 1,500 µs and 16.
        """
        if self.op != "convolution" or any(self.attributes[0].reversal):
            return self
        rank = len(self.attributes[0].strides)
        places = range(1, rank + 1)
        if self.attributes[1] == (0, rank + 1, (*places,), rank, rank + 1, (*range(rank),),
                                  0, rank + 1, (*places,)):  # fmt: skip
            return self
        weights: tuple[int, ...] = self.operands[1].shape  # type: ignore[union-attr]
        sizes = [weights[d] for d in self.attributes[1].kernel_spatial]
        window = self.attributes[0]._replace(reversal=tuple(n > 1 for n in sizes))
        return replace(self, attributes=(window, *self.attributes[1:]))

    @cached_property
    def bytes(self) -> int:
        """Bytes of operands and result."""
        return sum(byte_size(t) for t in (*self.operands, self.type))

    @cached_property
    def flops(self) -> int:
        """Arithmetic operations; 0 for a generic operation."""
        row = TABLE.get(self.op)
        return 0 if row is None else row.flops(self.attributes, self.operands, self.type)

    @cached_property
    def _results(self) -> tuple[int, ...] | None:
        """The results of a loop that are not operands; None of anything else, and if all are."""
        generic = self.generic
        if self.op != WHILE or generic is None or not isinstance(self.type, TupleType):
            return None
        body = generic.regions[1]
        changed = tuple(
            carry
            for carry, output in enumerate(body.outputs)
            if body.nodes[output].op != "parameter" or body.nodes[output].attributes != (carry,)
        )
        return changed if 0 < len(changed) < len(body.outputs) else None

    @cached_property
    def graph(self) -> Graph:
        """The kernel as a program of its own, with a parameter for every operand.

        Of a loop it returns what changes. With the rest among the results, XLA:CPU (jaxlib 0.10.2)
        carries along what it would read where it lies: a scan of 4,096 steps with four small
        operands took 100 µs instead of 61.
        """
        parameters = tuple(
            Node("parameter", (i,), (), type) for i, type in enumerate(self.operands)
        )
        node = Node(self.op, self.attributes, tuple(range(len(self.operands))), self.type)
        own = len(self.operands)
        if not isinstance(self.type, TupleType):
            return Graph(self.operands, (*parameters, node), (own,))
        kept = range(len(self.type.elements)) if self._results is None else self._results
        results = tuple(Node("get_result", (i,), (own,), self.type.elements[i]) for i in kept)
        outputs = tuple(range(own + 1, own + 1 + len(results)))
        return Graph(self.operands, (*parameters, node, *results), outputs)


def _renumbered(shape: tuple[int, ...]) -> dict[int, int]:
    """The new numbers of a shape's dimensions, without those of one element."""
    return {old: new for new, old in enumerate(i for i, n in enumerate(shape) if n != 1)}


def _squeezed(type: Type) -> Type:
    assert isinstance(type, TensorType)
    return TensorType(tuple(n for n in type.shape if n != 1), type.dtype)


def kernel_at(graph: Graph, node: Node) -> Kernel:
    """What a node of a graph runs."""
    operands = tuple(graph.nodes[i].type for i in node.operands)
    return Kernel(node.op, node.attributes, operands, node.type)


def compiled_power(kernel: Kernel, exponent: Literal | None) -> Kernel:
    """What costs as much as `kernel` if that is a power with an exponent that is known, or not."""
    if exponent is None or not exponent.is_splat or not is_float(exponent.type.dtype):
        return kernel
    function = _INSTEAD_OF_POWER.get(float(exponent.value))
    return kernel if function is None else replace(kernel, attributes=(function,))


def is_power(node: Any) -> bool:
    """Whether a node, or an e-node, is a power."""
    return bool(node.op == "binary" and node.attributes[0] == "power")


def byte_size(type: Type) -> int:
    """Bytes of a value; 0 for tokens and other values without data."""
    if isinstance(type, TensorType):
        return type.bytes
    elements = getattr(type, "elements", ())
    return sum(map(byte_size, elements))
