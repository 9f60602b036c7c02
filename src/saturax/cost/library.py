"""What XLA:CPU's library runs as one: reductions with the arithmetic and products around them.

From every reduction, the last one first, a kernel grows as jaxlib 0.10.2 grows it: downwards while
its result has one user, upwards to what nobody else uses. It takes in what the library supports of
at least 4,096 elements, and other reductions and products. A product by itself takes nothing in.
A kernel that has reached a hundred operations and operands grows no more.

It has no loop of its own: each operation goes over a part of its operands that is in the cache, row
by row of what lies together. Sums of chains of arithmetic take 0.08 to 0.13 ns an operation and
element, three times as long as a loop; where rows have 3 elements and one operand is repeated, 5 ns
an operation and row, fifty times as long as a loop, and after such a step 1.5 (2¹⁹ floats in rows
of 1 to 1,024, one core, Xeon 6/106).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saturax.cost.kernel import EXPENSIVE
from saturax.graph.ir import Node
from saturax.graph.operation import TABLE
from saturax.graph.ops.elementwise import function_name
from saturax.graph.types import TensorType, is_float

_REDUCTIONS = frozenset({"add", "maximum", "minimum"})
# Arithmetic that the library has not.
_NOT_SUPPORTED = frozenset({"compare", "select"})
LEAST_ELEMENTS = 4096
"""Of what the library computes, or begins a kernel with."""
# Read off chains of arithmetic before a reduction, with one operand or one more at each step.
_MOST_GROWN = 100
# Besides what cheap arithmetic takes in a loop, an element; of a short row what one operation takes
# that repeats an operand, or comes after one, and a reduction.
_PASS_US = 7e-5
_SHORT_ROW, _REPEATING_ROW_US, _ROW_US = 16, 0.005, 0.0015


def library_kernels(
    nodes: Sequence[Node],
    users: Sequence[Sequence[int]],
    outputs: frozenset[int],
    is_constant: Sequence[bool],
    is_view: Sequence[bool],
) -> dict[int, int]:
    """Operations in the library's kernels, with the one whose result each of these writes.

    `users[i]` are the operations that read node i. What `is_constant` is at hand everywhere; what
    `is_view` has its operand's elements as they lie.
    """
    growth = _Growth(nodes, users, outputs, is_constant, is_view)
    for index in range(len(nodes) - 1, -1, -1):
        if starts_kernel(nodes, index) and index not in growth.group_of:
            growth.grow(index)
    roots: dict[int, int] = {}
    for index, group in growth.group_of.items():
        while is_view[max(group)]:  # of the kernel's result, not of what is in it
            group.remove(max(group))
        if index in group:
            roots[index] = max(group)
    return roots


def passes_us(nodes: Sequence[Node], library: Mapping[int, int]) -> dict[int, float]:
    """What each operation of the library's kernels takes longer than in a loop, on one core.

    `library` maps these operations to the kernels that they are in.
    """
    repeating = {library[index] for index in library if nodes[index].op == "broadcast_in_dim"}
    found: dict[int, float] = {}
    for index, kernel in library.items():
        node = nodes[index]
        assert isinstance(node.type, TensorType)
        if node.op not in TABLE or TABLE[node.op].kind != "elementwise":
            continue
        size, row = node.type.size, node.type.shape[-1] if node.type.shape else 1
        time_us = 0.0 if function_name(node.attributes[0]) in EXPENSIVE else size * _PASS_US
        if row < _SHORT_ROW and kernel in repeating:
            repeats = any(_is_repeated(nodes, operand) for operand in node.operands)
            time_us += size / row * (_REPEATING_ROW_US if repeats else _ROW_US)
        found[index] = time_us
    return found


def short_rows_us(type: TensorType) -> float:
    """What reducing a value takes longer because its rows are short, on one core."""
    row = type.shape[-1] if type.shape else 1
    is_short = row < _SHORT_ROW and type.size >= LEAST_ELEMENTS and is_float(type.dtype)
    return type.size / row * _REPEATING_ROW_US if is_short else 0.0


def _is_repeated(nodes: Sequence[Node], index: int) -> bool:
    node = nodes[index]
    return (
        node.op == "broadcast_in_dim" and getattr(nodes[node.operands[0]].type, "shape", ()) != ()
    )


@dataclass
class _Growth:
    nodes: Sequence[Node]
    users: Sequence[Sequence[int]]
    outputs: frozenset[int]
    is_constant: Sequence[bool]
    is_view: Sequence[bool]
    group_of: dict[int, set[int]] = field(default_factory=dict)

    def grow(self, start: int) -> None:
        """Take in neighbours until none is left that fits."""
        group = {start}
        self.group_of[start] = group
        while self._take(group, self._below(group)) or self._take(group, self._above(group)):
            pass

    def _take(self, group: set[int], neighbours: list[int]) -> bool:
        for index in neighbours:
            if self._size(group) >= _MOST_GROWN:
                return False
            for member in self.group_of.get(index, {index}):
                self.group_of[member] = group
                group.add(member)
        return bool(neighbours)

    def _size(self, group: set[int]) -> int:
        """Operations of a kernel, and what they read."""
        return len(group.union(*(self.nodes[index].operands for index in group)))

    def _below(self, group: set[int]) -> list[int]:
        """The only user of the kernel's result, if it fits."""
        root = max(group)
        users = self.users[root]
        if len(users) != 1 or root in self.outputs or not self._fits(users[0]):
            return []
        return [users[0]]

    def _above(self, group: set[int]) -> list[int]:
        """Operands that nothing outside of the kernel uses and that fit."""
        found = []
        for index in sorted(group):
            for operand in dict.fromkeys(self.nodes[index].operands):
                is_ours = operand not in self.outputs and group.issuperset(self.users[operand])
                if operand not in group and is_ours and self._fits(operand):
                    found.append(operand)
        return list(dict.fromkeys(found))

    def _fits(self, index: int) -> bool:
        """Whether the library computes a node, or does already."""
        node = self.nodes[index]
        if index in self.group_of:
            return True
        if self.is_constant[index] or not node.operands or not _is_float(node):
            return False
        if self.is_view[index]:
            return True
        if node.op in ("dot_general", "convolution"):
            return node.op == "convolution" or self._is_product_of_rows(node)
        if node.op == "reduce_window":
            return node.attributes[0] in _REDUCTIONS
        if node.op == "broadcast_in_dim":
            return self._is_large(index) and not self._is_divisor_of_few(index)
        is_elementwise = node.op in TABLE and TABLE[node.op].kind == "elementwise"
        if not is_elementwise or function_name(node.attributes[0]) in _NOT_SUPPORTED:
            return False
        return self._is_large(index)

    def _is_divisor_of_few(self, index: int) -> bool:
        """Whether few numbers are repeated to divide by them: 1/x is computed before that."""
        is_few = not self._is_large(self.nodes[index].operands[0])
        return is_few and any(
            self.nodes[user].op == "binary"
            and function_name(self.nodes[user].attributes[0]) == "divide"
            and self.nodes[user].operands[1] == index
            for user in self.users[index]
        )

    def _is_product_of_rows(self, node: Node) -> bool:
        """Whether a product reads rows of its left side: by columns, it is not the library's.

        Other orders than these two are written anew, in rows.
        """
        d: Any = node.attributes[0]
        batch, contract = d.lhs_batch, d.lhs_contract
        shape: tuple[int, ...] = self.nodes[node.operands[0]].type.shape  # type: ignore[union-attr]
        if all(shape[i] == 1 for i in contract):
            return False
        free = [i for i in range(len(shape)) if i not in batch and i not in contract]
        by_columns = [i for i in (*batch, *contract, *free) if shape[i] != 1]
        by_rows = [i for i in (*batch, *free, *contract) if shape[i] != 1]
        return by_rows == sorted(by_rows) or by_columns != sorted(by_columns)

    def _is_large(self, index: int) -> bool:
        return _is_large(self.nodes[index])


def starts_kernel(nodes: Sequence[Node], index: int) -> bool:
    """Whether a kernel grows from an operation: reductions of enough floats."""
    node = nodes[index]
    return (
        node.op == "reduce"
        and node.attributes[0] in _REDUCTIONS
        and _is_large(nodes[node.operands[0]])
        and _is_float(node)
    )


def scaled_instead(nodes: Sequence[Node], users: Sequence[Sequence[int]], index: int) -> int | None:
    """Where c·x at `index` is multiplied by y repeated, it is x·(c·y) repeated: that repetition.

    Each such product has a repetition of its own then, which the library takes in.
    """
    if nodes[index].attributes != ("multiply",) or len(users[index]) != 1:
        return None
    product = nodes[users[index][0]]
    others = [i for i in product.operands if i != index]
    if product.attributes != ("multiply",) or len(others) != 1:
        return None
    return others[0] if nodes[others[0]].op == "broadcast_in_dim" else None


def _is_large(node: Node) -> bool:
    return isinstance(node.type, TensorType) and node.type.size >= LEAST_ELEMENTS


def _is_float(node: Node) -> bool:
    return isinstance(node.type, TensorType) and is_float(node.type.dtype)
