"""What XLA makes one kernel of: a program's operations in clusters, as its fusion passes form them.

The rules were read off the HLO that XLA:CPU (jaxlib 0.10.2) prints after optimisation:

* Elementwise operations and those that move elements fuse into loops. One with several users is
  computed again in each of them, unless it is expensive or one of its users cannot take it in.
* An expensive one does not fuse where its value would be computed again for every element of a
  broadcast.
* Sums, maxima and minima of 4,096 floats or more are the library's, with arithmetic, products and
  convolutions around them (`library`): attention may be a single kernel.
* Other reductions are loops like elementwise operations, expensive ones; those over more than 32
  elements in a dimension go in steps, the first of which takes nothing in.
* A scattering of one window is a slice and an update, which take in what is before them.
* A product in blocks is a loop that takes in all loops before it, and is not taken in.
* A transposed operand of a product is read in place if that exchanges rows and columns only; else
  a loop writes it so, with what fuses into it. Zeros around that of a convolution are not written.
  A product without contraction is elementwise.
* A reduction of several operands at once takes in loops, however long it is.
* A concatenation of many, or of long rows, is a copy by itself. One of concatenations is a single
  one. Others fuse like a pad: neither is computed twice in a kernel (`emission`).
* A loop writes its result as what cannot take it in wants to see it, in another shape, say.
* Few numbers that are known are part of a kernel: what it computes may take longer for some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from saturax.cost.duplication import never_duplicated
from saturax.cost.emission import Emissions
from saturax.cost.fusible import (
    MOST_JOINED,
    follows,
    is_expensive,
    is_loop,
    is_small,
    is_zero,
    rank_of,
)
from saturax.cost.kernel import BITCASTS, kernel_at
from saturax.cost.library import library_kernels, passes_us, scaled_instead
from saturax.cost.operands import order_wanted
from saturax.graph.ir import Graph, Node
from saturax.graph.types import TensorType, TupleType

# Longer dimensions are reduced in steps.
_LONGEST_REDUCED = 32
_REDUCE_SEVERAL = "stablehlo.reduce"
_FOUND: WeakKeyDictionary[Graph, _Kernels] = WeakKeyDictionary()


@dataclass(frozen=True)
class Cluster:
    """One kernel: `graph` computes node `root` of the program from the nodes `inputs`."""

    root: int
    nodes: tuple[int, ...]
    inputs: tuple[int, ...]
    graph: Graph


@dataclass(frozen=True)
class _Kernels:
    """The clusters of a graph, and how often each of its nodes is computed in them.

    `passes_us` is what operations take longer because they are in a library's kernel.
    """

    clusters: tuple[Cluster, ...]
    times: tuple[float, ...]
    passes_us: Mapping[int, float]


def clusters_of(graph: Graph) -> tuple[Cluster, ...]:
    """The kernels that XLA:CPU would run for a program, in program order.

    Views of their operands, parameters and what follows from constants alone are no kernels. What
    was found is known while the graph lives: it is priced by its kernels, and planned in memory.
    """
    return _kernels_of(graph).clusters


def times_computed(graph: Graph) -> tuple[float, ...]:
    """How often each node of a program is computed: by several kernels, or at several indices.

    What is computed in parts, for slices of it, counts as once.
    """
    return _kernels_of(graph).times


def library_passes_us(graph: Graph) -> Mapping[int, float]:
    """Of operations in the library's kernels what they take longer than in a loop, on one core."""
    return _kernels_of(graph).passes_us


def _kernels_of(graph: Graph) -> _Kernels:
    found = _FOUND.get(graph)
    if found is None:
        fusion = Fusion(graph)
        roots = (index for index, is_root in enumerate(fusion.is_root) if is_root)
        times = tuple(map(fusion.computed.times_computed, range(len(graph.nodes))))
        passes = passes_us(graph.nodes, fusion.library)
        found = _FOUND[graph] = _Kernels(tuple(map(fusion.cluster, roots)), times, passes)
    return found


class Fusion:
    """Decides, from the last operation to the first, what is written to memory.

    Where programs may say themselves what is written, `assembly.repeated` decides more.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.nodes = graph, graph.nodes
        self.users: list[list[int]] = [[] for _ in graph.nodes]
        for index, node in enumerate(graph.nodes):
            for operand in dict.fromkeys(node.operands):
                self.users[operand].append(index)
        self.outputs = frozenset(graph.outputs + graph.effects)
        self.is_uniform = follows(graph.nodes, lambda literal: literal.is_splat)
        # The compiler folds what follows from constants, but repeats no numbers ahead of time.
        is_folded = follows(graph.nodes, lambda literal: True, repeats=False)
        self.is_constant = [a or b for a, b in zip(self.is_uniform, is_folded, strict=True)]
        self.is_small_constant = follows(graph.nodes, is_small, repeats=False)
        # A view is read as its operand is, and is written only as that.
        self.is_view = [
            node.op in BITCASTS and kernel_at(graph, node).is_bitcast for node in graph.nodes
        ]
        self.is_loop = [is_loop(graph, node) for node in graph.nodes]
        self.joined = graph.joined_concatenations()
        self._join()
        self.is_root = [False] * len(graph.nodes)
        self.is_copied = [False] * len(graph.nodes)  # written, and computed again in loops
        self.is_reused = [False] * len(graph.nodes)
        self.is_folded = [False] * len(graph.nodes)  # transposes that a product reads through
        self.is_padding = [False] * len(graph.nodes)  # of a convolution's operand
        self.is_arranged = [False] * len(graph.nodes)  # written in the order that a product wants
        # Operations in the library's kernels, and what each of these writes.
        self.library = library_kernels(
            graph.nodes, self.users, self.outputs, self.is_constant, self.is_view
        )
        self.is_single = never_duplicated(
            graph.nodes, self.users, self.is_constant, self._could_fuse
        )
        # What decides, and what then follows: XLA does not count what it computes again in loops.
        self.emissions = Emissions(graph.nodes, self.users, self.is_constant)
        self.computed = Emissions(graph.nodes, self.users, self.is_constant)
        for index in range(len(graph.nodes) - 1, -1, -1):
            self._decide(index)
            if self.is_root[index]:
                self.emissions.write(index)
            elif graph.nodes[index].operands and not self.is_constant[index]:
                self.emissions.take_in(index)
            self._count(index)

    def _count(self, index: int) -> None:
        """Note the kernels that compute a value, which may be in memory, too."""
        if self.is_copied[index]:
            self.computed.copy(index, self._takes_copies)
        elif self.is_root[index]:
            self.computed.write(index)
        elif self.nodes[index].operands and not self.is_constant[index]:
            self.computed.take_in(index)

    def _join(self) -> None:
        """Concatenations that are one: whether that fuses."""
        counts = {
            index: len(node.operands)
            for index, node in enumerate(self.nodes)
            if node.op == "concatenate"
        }
        for index in counts:
            inside = [operand for operand in self.nodes[index].operands if operand in self.joined]
            counts[index] += sum(counts[operand] - 1 for operand in inside)
            self.is_loop[index] &= counts[index] <= MOST_JOINED
        for index in sorted(counts, reverse=True):
            for operand in self.nodes[index].operands:
                if operand in self.joined:
                    self.is_loop[operand] = self.is_loop[index]

    def _decide(self, index: int) -> None:
        node = self.nodes[index]
        if not node.operands or self.is_constant[index] or node.op == "get_result":
            return
        if index in self.joined:
            return
        if node.op == "dot_general" and not self.is_loop[index]:
            self._arrange_operands(index)
        users = self._real_users(index)
        is_output = self._is_output(index)
        self.is_reused[index] = any(
            self._enlarges(index, user) or (not self.is_root[user] and self.is_reused[user])
            for user in users
        )
        if index in self.library:
            self.is_root[index] = self.library[index] == index
            return
        if self.is_arranged[index]:
            self.is_root[index] = True
            return
        if self.is_view[index]:
            takes = all(self._loop_takes(index, user) for user in users)
            if (is_output or not takes) and self._is_view_of_loop(index):
                self.is_root[index], self.is_view[index] = True, False
            return
        if not is_output and self._is_padding(index, users):
            self.is_padding[index] = True
            return
        is_loop = self.is_loop[index] or node.op == "reduce"
        is_loop &= node.op != "scatter"  # takes in, and is not taken
        fuses = is_loop and all(self._loop_takes(index, user) for user in users)
        is_repeated = is_expensive(node) and (
            self.is_reused[index] or self.emissions.are_several(index)
        )
        is_kept = is_repeated or self.is_single[index] or self.emissions.are_too_many(index)
        self.is_root[index] = is_output or not fuses or is_kept
        self.is_copied[index] = (
            self.is_root[index] and self.is_loop[index] and not is_kept and self._is_unary(index)
        )

    def _is_unary(self, index: int) -> bool:
        """Whether an operation is cheap and reads one value of its rank at most, less repetitions.

        XLA's `InstructionFusion::EffectivelyAtMostUnary`.
        """
        node = self.nodes[index]
        large = [
            i
            for i in dict.fromkeys(node.operands)
            if self.nodes[i].op not in ("broadcast_in_dim", "iota")
            and not self.is_uniform[i]
            and rank_of(self.nodes[i]) >= rank_of(node)
        ]
        return len(large) <= 1 and not is_expensive(node)

    def _is_view_of_loop(self, index: int) -> bool:
        """Whether a loop that nothing else reads is seen in another shape."""
        user, place = index, self.nodes[index].operands[0]
        while self.is_view[place] and self._is_only_used_by(place, user):
            user, place = place, self.nodes[place].operands[0]
        return (
            self.is_loop[place]
            and not self.is_view[place]
            and not self.is_constant[place]
            and place not in self.library
            and self._is_only_used_by(place, user)
        )

    def _arrange_operands(self, index: int) -> None:
        """What a product cannot read in the order that it has is written as it wants it.

        Such a value is a transpose, perhaps in other shapes, of what may be computed by a loop.
        """
        for position, operand in enumerate(self.nodes[index].operands):
            chain, user, place = [], index, operand
            while self._is_only_moved(place) and self._is_only_used_by(place, user):
                chain.append(place)
                user, place = place, self.nodes[place].operands[0]
            if (
                not self.is_constant[place]
                and not all(self.is_view[i] for i in chain)
                and not (len(chain) == 1 and self._reads_through(index, position))
            ):
                self.is_arranged[operand], self.is_view[operand] = True, False

    def _is_only_moved(self, index: int) -> bool:
        return self.is_view[index] or self.nodes[index].op == "transpose"

    def _is_only_used_by(self, index: int, user: int) -> bool:
        return self.users[index] == [user] and index not in self.outputs

    def _reads_through(self, index: int, position: int) -> bool:
        """Whether a product reads what is before the transpose that is its operand."""
        transpose = self.nodes[self.nodes[index].operands[position]]
        shape: tuple[int, ...] = self.nodes[transpose.operands[0]].type.shape  # type: ignore[union-attr]
        order: Any = transpose.attributes[0]
        wanted = order_wanted(self.nodes[index], position, shape, order)
        return wanted == tuple(range(len(shape)))

    def _real_users(self, index: int) -> list[int]:
        """Users, where those of a view stand for it."""
        found: list[int] = []
        for user in self.users[index]:
            found += self._real_users(user) if self.is_view[user] else [user]
        return list(dict.fromkeys(found))

    def _is_output(self, index: int) -> bool:
        return index in self.outputs or any(
            self.is_view[user] and self._is_output(user) for user in self.users[index]
        )

    def _enlarges(self, index: int, user: int) -> bool:
        """Whether a user reads an element for several of its own."""
        own, other = self.nodes[index].type, self.nodes[user].type
        if self.nodes[user].op == "scatter":  # in the window, and in the result
            return self.nodes[user].operands[0] == index
        if self.nodes[user].op == "blocked_dot":
            terms = kernel_at(self.graph, self.nodes[user]).flops // 2
            return isinstance(own, TensorType) and own.size < terms
        return (
            self.nodes[user].op == "broadcast_in_dim"
            and isinstance(own, TensorType)
            and isinstance(other, TensorType)
            and other.size > own.size
        )

    def _could_fuse(self, index: int, user: int) -> bool:
        """Whether what computes a user could take a value in, as far as the two alone decide."""
        if index in self.library or not (self.is_loop[index] or self.nodes[index].op == "reduce"):
            return False
        is_repeated = len(self.users[index]) > 1 or self._enlarges(index, user)
        if is_expensive(self.nodes[index]) and is_repeated:
            return False
        return user not in self.library and self._takes_in_loops(user)

    def _takes_in_loops(self, user: int) -> bool:
        node = self.nodes[user]
        takes = node.op in ("blocked_dot", _REDUCE_SEVERAL)
        takes |= node.op == "reduce" and not self._goes_in_steps(node)
        return takes or self.is_loop[user]

    def _loop_takes(self, index: int, user: int) -> bool:
        node, is_transpose = self.nodes[user], self.nodes[index].op == "transpose"
        is_product = node.op == "dot_general" and not self.is_loop[user]
        if is_product or self.is_folded[user]:
            self.is_folded[index] |= is_transpose
            return is_transpose
        if user in self.library or self.is_padding[user]:
            return self._is_scaled_by(index, user)
        return self._takes_in_loops(user)

    def _is_padding(self, index: int, users: Sequence[int]) -> bool:
        """Whether zeros around a value are read by convolutions alone, which need not see them."""
        node = self.nodes[index]
        if node.op != "pad" or any(map(any, node.attributes[2:3])) or not users:  # type: ignore[arg-type]
            return False
        return (
            is_zero(self.nodes, node.operands[1])
            and all(self.nodes[user].op == "convolution" for user in users)
            and all(self.nodes[user].operands[0] == index for user in users)
        )

    def _goes_in_steps(self, node: Node) -> bool:
        shape: tuple[int, ...] = self.nodes[node.operands[0]].type.shape  # type: ignore[union-attr]
        reduced: tuple[int, ...] = node.attributes[1]  # type: ignore[assignment]
        return any(shape[d] > _LONGEST_REDUCED for d in reduced)

    def cluster(self, root: int) -> Cluster:
        """The kernel that writes a node."""
        inside: set[int] = set()
        inputs: dict[int, None] = {}
        takes_copies = self._takes_copies(root)
        stack = [root]
        while stack:
            index = stack.pop()
            if index in inside:
                continue
            inside.add(index)
            for operand in self.nodes[index].operands:
                is_copied = takes_copies and self.is_copied[operand]
                if is_copied or self._is_inside(operand) or self._is_filled_by(index, operand):
                    stack.append(operand)
                else:
                    inputs[operand] = None
        ordered, leaves = tuple(sorted(inside)), tuple(sorted(inputs))
        return Cluster(root, ordered, leaves, _graph(self.nodes, ordered, leaves, root))

    def _takes_copies(self, root: int) -> bool:
        """Whether a kernel computes again what is written, too."""
        return self.is_loop[root] and root not in self.library

    def _is_scaled_by(self, index: int, user: int) -> bool:
        """Whether (c·x)·y for repeated values y at `index` is x·(c·y), with a y of its own."""
        return any(
            scaled_instead(self.nodes, self.users, other) == index
            and any(self.is_uniform[i] for i in self.nodes[other].operands)
            for other in self.nodes[user].operands
        )

    def _is_filled_by(self, index: int, operand: int) -> bool:
        """Whether a kernel repeats a value by itself, even if the repetition is in memory too."""
        if index in self.library and self._is_scaled_by(operand, index):
            return True
        node = self.nodes[operand]
        if node.op != "broadcast_in_dim" or not self.is_loop[index]:
            return False
        scalar = self.nodes[node.operands[0]].type
        return isinstance(scalar, TensorType) and scalar.size == 1

    def _is_inside(self, index: int) -> bool:
        """Whether a value is computed by the kernel that uses it."""
        node = self.nodes[index]
        if self.is_constant[index]:
            return self.is_uniform[index] or self.is_small_constant[index]
        return node.op not in ("parameter", "get_result") and not self.is_root[index]


def _graph(nodes: Sequence[Node], inside: Sequence[int], inputs: Sequence[int], root: int) -> Graph:
    types = tuple([nodes[i].type for i in inputs])
    found = [Node("parameter", (i,), (), type) for i, type in enumerate(types)]
    place = {index: i for i, index in enumerate(inputs)}
    for index in inside:
        op, attributes, operands, type = nodes[index]
        place[index] = len(found)
        found.append(Node(op, attributes, tuple([place[i] for i in operands]), type))
    written, type = place[root], nodes[root].type
    outputs: tuple[int, ...] = (written,)
    if isinstance(type, TupleType) and type.elements:
        outputs = tuple(range(len(found), len(found) + len(type.elements)))
        found += [
            Node("get_result", (i,), (written,), each) for i, each in enumerate(type.elements)
        ]
    return Graph(types, tuple(found), outputs)
