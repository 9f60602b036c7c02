"""Kernels of a program in the order of their execution, with the values that they read and write.

A *value* is what lies in memory: a node of the graph, an element `(node, number)` of a node with
several results, or a copy of an operand in another layout or type.

What XLA:CPU (jaxlib 0.10.2) does, read off its optimised HLO and its buffer assignment: it runs
kernels breadth first, so that independent ones can run side by side. Products read operands in one
order of dimensions, and 16-bit floats as f32; what does not come so is copied, unless the kernel
that writes it can write it so. Elementwise kernels, updates and sorts work in place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from saturax.cost.clusters import Cluster, clusters_of
from saturax.cost.fusible import is_loop, is_zero
from saturax.cost.kernel import BITCASTS, byte_size, kernel_at
from saturax.cost.merged import merged
from saturax.cost.operands import PRODUCTS, order_wanted
from saturax.cost.splats import splats_read
from saturax.graph.ir import Graph, Node
from saturax.graph.operation import TABLE
from saturax.graph.types import TensorType, TupleType

Value = Hashable

_WIDENED = frozenset({"bf16", "f16"})
_WIDE_BYTES = 4
_IN_PLACE = frozenset({"dynamic_update_slice", "scatter", "sort", "sort_pair"})


@dataclass(frozen=True)
class Step:
    """One kernel: node `root` of the graph, the values it `reads`, and `writes` with their bytes.

    `over` are values in whose place its first result may come, if nobody reads them later.
    """

    root: int
    reads: tuple[Value, ...]
    writes: tuple[tuple[Value, int], ...]
    over: tuple[Value, ...] = ()


@dataclass(frozen=True)
class _Copy:
    """A value as a product reads it."""

    of: Value
    order: tuple[int, ...]
    is_wide: bool


class Schedule:
    """The steps of a graph, and for each of its nodes the value that it lies in (`places`)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph = merged(graph)
        self._clusters = {cluster.root: cluster for cluster in clusters_of(graph)}
        self._users: list[list[int]] = [[] for _ in graph.nodes]
        for index, node in enumerate(graph.nodes):
            for operand in dict.fromkeys(node.operands):
                self._users[operand].append(index)
        self._readers: dict[int, list[Cluster]] = {}
        self._ops: dict[int, set[str]] = {}  # of each kernel
        self._loops: set[int] = set()  # kernels that are loops
        for root, cluster in self._clusters.items():
            inside = [graph.nodes[i] for i in cluster.nodes]
            self._ops[root] = {node.op for node in inside}
            if all(is_loop(graph, node) for node in inside if node.operands):
                self._loops.add(root)
            for index in cluster.inputs:
                self._readers.setdefault(index, []).append(cluster)
        self.places: list[Value] = []
        for index in range(len(graph.nodes)):
            self.places.append(self._place(index))
        self._splats = splats_read(graph, list(self._clusters.values()), self._users)
        self._outputs = {self.places[i] for i in graph.outputs}
        found = [step for cluster in self._clusters.values() for step in self._steps(cluster)]
        distinct = {step.writes: step for step in found}  # a copy is made once
        self.steps = breadth_first(list(distinct.values()))

    def _place(self, index: int) -> Value:
        node = self.graph.nodes[index]
        if node.op == "get_result":
            return node.operands[0], node.attributes[0]
        is_view = index not in self._clusters and self._is_view(index)
        return self.places[node.operands[0]] if is_view else index

    def _is_view(self, index: int) -> bool:
        node = self.graph.nodes[index]
        return node.op in BITCASTS and kernel_at(self.graph, node).is_bitcast

    def _steps(self, cluster: Cluster) -> Iterator[Step]:
        """The kernel of a cluster, after the copies that it needs of its inputs."""
        root, reads = self.graph.nodes[cluster.root], dict[Value, None]()
        orders = dict(self._orders_read(cluster))
        for index in cluster.inputs:
            value, type, order = self.places[index], self.graph.nodes[index].type, orders.get(index)
            if order is not None and isinstance(type, TensorType):
                is_wide = _is_wide(self.graph.nodes[index])
                if (order or is_wide) and not self._is_written_for_product(index):
                    copy = _Copy(value, order, is_wide)
                    size = type.size * _WIDE_BYTES if is_wide else type.bytes
                    yield Step(cluster.root, (value,), ((copy, size),))
                    value = copy
            reads[value] = None
        for splat in self._splats.get(cluster.root, ()):
            yield Step(cluster.root, (), ((splat, splat.type.bytes),))
            reads[splat] = None
        over = self._taken_over(cluster)
        base = self._scattered_on(cluster.root)
        if base is not None:
            over = (self.places[base],)
            reads[over[0]] = None
        for index in cluster.inputs:
            base = self._scattered_on(index)
            if base is not None and base in cluster.inputs:
                reads.pop(self.places[base], None)  # it is part of the other by now
        writes = tuple(self._results(cluster.root))
        if root.op in PRODUCTS and cluster.root in self._outputs and _is_wide(root):
            wide = _Copy(cluster.root, (), True)
            yield Step(cluster.root, tuple(reads), ((wide, writes[0][1]),))
            reads, writes = {wide: None}, ((cluster.root, byte_size(root.type)),)
        yield Step(cluster.root, tuple(reads), writes, over)

    def _results(self, index: int) -> Iterator[tuple[Value, int]]:
        node = self.graph.nodes[index]
        if isinstance(node.type, TupleType):
            for number, type in enumerate(node.type.elements):
                yield (index, number), byte_size(type)
        elif isinstance(node.type, TensorType):
            is_wide = _is_wide(node) and (
                node.op in PRODUCTS or self._is_written_for_product(index)
            )
            yield index, node.type.size * _WIDE_BYTES if is_wide else node.type.bytes

    def _is_written_for_product(self, index: int) -> bool:
        """Whether a loop writes its result in the order and type in which one product reads it."""
        readers = self._readers.get(index, ())
        return (
            index in self._clusters
            and len(readers) == 1
            and not self._ops[readers[0].root].isdisjoint(PRODUCTS)
            and index in self._loops
        )

    def _orders_read(self, cluster: Cluster) -> Iterator[tuple[int, tuple[int, ...]]]:
        """The inputs that products read, and the order of dimensions that those want.

        () is the order that they have.
        """
        inside, nodes = set(cluster.nodes), self.graph.nodes
        for product in (nodes[i] for i in cluster.nodes if nodes[i].op in PRODUCTS):
            for position, operand in enumerate(product.operands[:2]):
                order: Any = None
                if nodes[operand].op == "transpose" and operand in inside:
                    order = nodes[operand].attributes[0]
                    operand = nodes[operand].operands[0]
                shape: tuple[int, ...] = nodes[operand].type.shape  # type: ignore[union-attr]
                given = tuple(range(len(shape))) if order is None else order
                wanted = order_wanted(product, position, shape, given)
                while operand in inside and self._is_view(operand):
                    operand = nodes[operand].operands[0]
                yield operand, () if wanted == tuple(range(len(shape))) else wanted

    def _taken_over(self, cluster: Cluster) -> tuple[Value, ...]:
        """The inputs in whose places a kernel can write its result."""
        nodes, root = self.graph.nodes, self.graph.nodes[cluster.root]
        if root.op in _IN_PLACE:
            return (self.places[root.operands[0]],)
        if not _is_elementwise(root) or self._ends_with_view(cluster.root):
            return ()
        readers = self._readers.get(cluster.root, ())
        keeps_order = bool(readers) and all(
            reader.root in self._loops or "convolution" in self._ops[reader.root]
            for reader in readers
        )
        moved: set[int] = set()  # what is read elsewhere than it is written
        for index in reversed(cluster.nodes):
            if index in moved or not self._is_in_place(index):
                first = nodes[index].op == "dynamic_update_slice" and index not in moved
                moved.update(nodes[index].operands[first:])
        return tuple(
            self.places[i]
            for i in cluster.inputs
            if i not in moved and (keeps_order or not _is_reordered(nodes[i]))
        )

    def _is_in_place(self, index: int) -> bool:
        """Whether element i of a result depends on elements i of the operands only.

        A product writes its result transposed if that is all that is wanted of it.
        """
        node = self.graph.nodes[index]
        of = self.graph.nodes[node.operands[0]].op if node.op == "transpose" else ""
        return _is_elementwise(node) or (
            of == "dot_general" and len(self._users[node.operands[0]]) == 1
        )

    def _ends_with_view(self, index: int) -> bool:
        """Whether a kernel hands on another view of its result, so that it is not in place.

        Products take operands of one free and one contracted dimension.
        """
        users = self._users[index]
        if len(users) != 1 or index in self.graph.outputs:
            return False
        user: Any = self.graph.nodes[users[0]]
        if user.op != "dot_general":
            return self._is_view(users[0])
        rank = len(self.graph.nodes[index].type.shape)  # type: ignore[union-attr]
        return rank > 2 + len(user.attributes[0].lhs_batch)

    def _scattered_on(self, index: int) -> int | None:
        """The value on which a sum of updates is scattered that would be added to it afterwards."""
        nodes, node = self.graph.nodes, self.graph.nodes[index]
        is_sum = node.op == "scatter" and node.attributes[0] == "add"
        users = self._users[index]
        if not is_sum or len(users) != 1 or not is_zero(nodes, node.operands[0]):
            return None
        total = nodes[users[0]]
        base = next((i for i in total.operands if i != index), index)
        if total.op != "binary" or total.attributes != ("add",) or base == index:
            return None
        while nodes[base].op == "transpose":
            base = nodes[base].operands[0]
        return base


def _is_wide(node: Node) -> bool:
    return isinstance(node.type, TensorType) and node.type.dtype in _WIDENED


def _is_elementwise(node: Node) -> bool:
    return node.op in TABLE and TABLE[node.op].kind == "elementwise"


def _is_reordered(node: Node) -> bool:
    """Whether a convolution writes its result in an order of dimensions that is not its own."""
    if node.op != "convolution":
        return False
    d: Any = node.attributes[1]
    order = (d.output_batch, *d.output_spatial, d.output_feature)
    return order != tuple(range(len(order)))


def breadth_first(steps: Sequence[Step]) -> list[Step]:
    """The steps in the order in which XLA:CPU runs them: those that are ready first come first."""
    written = {value: number for number, step in enumerate(steps) for value, _ in step.writes}
    users: dict[int, list[int]] = {}
    missing = []
    for number, step in enumerate(steps):
        producers = {written[value] for value in step.reads if value in written}
        missing.append(len(producers))
        for producer in producers:
            users.setdefault(producer, []).append(number)
    ready = deque(number for number, count in enumerate(missing) if count == 0)
    order = []
    while ready:
        number = ready.popleft()
        order.append(steps[number])
        for user in users.get(number, ()):
            missing[user] -= 1
            if missing[user] == 0:
                ready.append(user)
    return order
