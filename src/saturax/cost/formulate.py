"""Stage `price`: an e-graph and prices become an extraction problem that sees fusion.

XLA fuses elementwise and data-movement operations, so a value can be had in two modes: *in memory*,
or *inline* within the kernel that uses it. Every e-class becomes three classes of the problem:

    memory(c)   ←  a heavy node on operands in memory                      (measured)
    memory(c)   ←  computed(c)                                             (launch + bytes written)
    inline(c)   ←  memory(c)                                               (bytes read)
    inline(c)   ←  computed(c)                                             (nothing)
    computed(c) ←  an elementwise or movement node on inline operands      (arithmetic only)

so that plain DAG extraction chooses rewrites and fusion together. (The third class keeps the modes
from forming a cycle.) What depends only on constants can be computed before the program runs and
is free in memory.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from saturax.cost.distance import held_bytes
from saturax.cost.kernel import (
    DISTANT_OPERANDS,
    EXPENSIVE,
    Kernel,
    byte_size,
    compiled_power,
    is_power,
)
from saturax.cost.model import PriceModel
from saturax.cost.places import Kernels, Places, is_fused
from saturax.cost.repetition import ITSELF, Repetition
from saturax.extract.greedy import dag_greedy
from saturax.extract.problem import Problem, Selection
from saturax.graph.build import GraphBuilder, prune
from saturax.graph.ir import Graph, Node
from saturax.graph.operation import TABLE
from saturax.graph.ops.elementwise import function_name
from saturax.graph.types import TensorType, Type
from saturax.search.represent import Represented

# Ties between equally fast programs go to the one with fewer operations.
_TIE_BREAK_US = 1e-3
# Among them a root or quotient counts as several, a sign, which others absorb, as less than one.
_EXPENSIVE_FACTOR, _NEGATION_FACTOR = 3.0, 0.9
# Larger results are not computed ahead of time: they would cost memory that nobody agreed to.
_LARGEST_FROZEN_BYTES = 256 << 20
# Up to so many times an operand of a product may be computed again.
_FEW_READS = 4

CHANGE_OF_MODE = -1
_MEMORY, _INLINE, _COMPUTED, _MODES = 0, 1, 2, 3
_ALONE, _INSIDE, _TAKES_IN, _COPIES = "alone", "inside", "takes in", "copies"
# Into these their producers fuse.
_FORMS = {"reduce": _TAKES_IN, "blocked_dot": _TAKES_IN, "concatenate": _COPIES}


@dataclass(frozen=True)
class Heavy:
    """A kernel whose price may be measured, as `form` says: alone, inside a fusion, or as one into
    which its producers fuse, a reduction or the copy that a concatenation is.
    """

    kernel: Kernel
    form: str

    def us(self, model: PriceModel) -> float:
        """Its cost in the extraction problem."""
        price = model.kernel_us(self.kernel)
        if self.form == _TAKES_IN:  # it does not read its operands itself
            levels = self.kernel.levels or (0,) * len(self.kernel.operands)
            own = price - sum(map(model.read_us, self.kernel.operands, levels))
            return max(own, 0.5 * price, _TIE_BREAK_US)
        if self.form == _INSIDE:
            return max(price - model.write_us(self.kernel.type), model.inline_us(self.kernel))
        return price if self.form == _COPIES else price + _TIE_BREAK_US


@dataclass(frozen=True)
class Slowness:
    """How often a program computes its e-nodes, and how much longer than in a loop they take.

    `passes_us` is that on one core, of those in the library's kernels.
    """

    times: Mapping[int, float]
    passes_us: Mapping[int, float]


@dataclass(frozen=True)
class Formulation:
    """An extraction problem over an e-graph, and how to read its solutions.

    Classes 3c, 3c + 1 and 3c + 2 are e-class c in memory, inline and computed (e-classes being
    numbered densely). For node i of the problem, `enodes[i]` is the e-node it stands for, or
    `CHANGE_OF_MODE`, and `operands[i]` lists its operands' problem classes in order. `kernels` maps
    signatures of the problem to the kernels that can be measured; `heavy` maps nodes of the problem
    to kernels whose prices may change. `prepared` maps nodes that write what is made of inputs
    alone to bytes; of them the `charged` ones pay for memory that is new in each run, which is
    what `needs_fresh_memory` knows of selections, by their nodes; `programs` are those that were
    read off selections, and `slowness` knows how often they compute each e-node, and how. `own` is
    the part of the problem that the original is in, at the costs that it has had. These stay when
    prices change. `repeated` maps nodes to how many times as much they cost for that, if it is
    more. Such charges are part of the problem's costs, not of the `prices_us` of its nodes. Both
    count as often as the program that the e-graph stands for has the node: its `times`.
    """

    represented: Represented
    problem: Problem
    enodes: tuple[int, ...]
    operands: tuple[tuple[int, ...], ...]
    number: dict[int, int]
    kernels: dict[Hashable, Kernel]
    heavy: dict[int, Heavy]
    prepared: dict[int, int]
    prices_us: tuple[float, ...]
    times: tuple[int, ...]
    charged: frozenset[int] = frozenset()
    needs_fresh_memory: dict[frozenset[int], bool] = field(default_factory=dict)
    repeated: Mapping[int, float] = field(default_factory=dict)
    slowness: dict[frozenset[int], Slowness] = field(default_factory=dict)
    programs: dict[frozenset[int], Extracted] = field(default_factory=dict)
    own: list[_Part] = field(default_factory=list)

    def repriced(self, model: PriceModel) -> Formulation:
        """The same choice at the prices that the model knows by now."""
        prices, costs = list(self.prices_us), list(self.problem.cost_us)
        price_us: dict[tuple[str, str], float] = {}
        for node, heavy in self.heavy.items():
            kind = heavy.kernel.key, heavy.form
            if kind not in price_us:
                price_us[kind] = heavy.us(model)
            prices[node] = price_us[kind] * self.times[node]
            costs[node] = prices[node] * self.repeated.get(node, 1)
        problem = self.problem.with_costs(costs)
        return replace(self, problem=problem, prices_us=tuple(prices))

    @property
    def uncharged(self) -> Formulation:
        """The same choice at prices alone."""
        problem = self.problem.with_costs(self.prices_us)
        return replace(self, problem=problem, charged=frozenset(), repeated={})

    def with_costs_of(self, other: Formulation, selection: Selection) -> Formulation:
        """The same choice where what a selection runs costs and is charged what `other` says."""
        costs, repeated = list(self.problem.cost_us), dict(self.repeated)
        for node in selection.values():
            costs[node] = other.problem.cost_us[node]
            repeated.pop(node, None)
            if node in other.repeated:
                repeated[node] = other.repeated[node]
        return replace(self, problem=self.problem.with_costs(costs), repeated=repeated)

    def original(self) -> Selection:
        """The original program as a selection, each value in its cheapest mode.

        Found among the original's own e-nodes and classes, which are few in a large e-graph.
        """
        return dict(self._original)

    @cached_property
    def _original(self) -> Selection:
        if not self.own:
            self.own.append(self._own_part())
        nodes, problem = self.own[-1]
        if any(problem.cost_us[i] != self.problem.cost_us[node] for i, node in enumerate(nodes)):
            problem = problem.with_costs([self.problem.cost_us[node] for node in nodes])
            self.own.append(_Part(nodes, problem))
        return {owner: nodes[node] for owner, node in dag_greedy(problem).items()}

    def _own_part(self) -> _Part:
        live = self.represented.live_enodes()
        find, allowed = self.represented.egraph.find, set(live)
        classes = {self.number[find(enode)] for enode in live}
        problem = self.problem
        kept = [
            node
            for node, (owner, enode) in enumerate(zip(problem.node_class, self.enodes, strict=True))
            if (owner // _MODES in classes if enode == CHANGE_OF_MODE else enode in allowed)
        ]
        rows = [(problem.node_class[n], problem.cost_us[n], problem.children[n]) for n in kept]
        return _Part(kept, Problem.build(problem.class_count, rows, problem.roots))

    def written_bytes(self, selection: Selection) -> int:
        """Bytes of all that a selection writes to memory, were none of it in another's place."""
        classes, egraph = list(self.number), self.represented.egraph
        return sum(
            byte_size(egraph.type_of(classes[owner // _MODES]))
            for owner, node in selection.items()
            if owner % _MODES == _MEMORY and self.operands[node]
        )

    def used_kernels(self, selections: Iterable[Selection]) -> list[Kernel]:
        """The distinct measurable kernels that some of the selections run."""
        signatures = self.problem.signatures or ()
        used = {signatures[node]: None for s in selections for node in s.values()}
        return [self.kernels[signature] for signature in used if signature in self.kernels]


class _Part(NamedTuple):
    """A problem of some `nodes` of another: node i of the one is node `nodes[i]` of the other."""

    nodes: list[int]
    problem: Problem


@dataclass
class _Rows:
    """Nodes of the problem under construction."""

    rows: list[tuple[int, float, tuple[int, ...]]] = field(default_factory=list)
    enodes: list[int] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    kernels: dict[Hashable, Kernel] = field(default_factory=dict)
    heavy: dict[int, Heavy] = field(default_factory=dict)
    prepared: dict[int, int] = field(default_factory=dict)

    def add_heavy(
        self, owner: int, heavy: Heavy, operands: tuple[int, ...], enode: int, model: PriceModel
    ) -> None:
        self.heavy[len(self.rows)] = heavy
        self.add(owner, heavy.us(model), operands, enode, heavy.kernel.key)

    def add(
        self, owner: int, cost: float, operands: tuple[int, ...], enode: int, signature: str
    ) -> None:
        self.rows.append((owner, cost, operands))
        self.enodes.append(enode)
        self.signatures.append(signature)


def formulate(
    represented: Represented,
    model: PriceModel,
    levels: Sequence[int] | None = None,
    repetition: Repetition = ITSELF,
) -> Formulation:
    """State the choice of the cheapest program in the e-graph as an extraction problem.

    `levels[i]` says how far input i is (`distance`), where that is known otherwise than by what the
    program itself reads between two reads of it: of a kernel of a larger program. The programs in
    the e-graph stand for others, as `repetition` says.
    """
    egraph = represented.egraph
    kernels = Kernels(egraph)
    number = {class_id: index for index, class_id in enumerate(kernels.nodes)}
    rows = _Rows()
    held = held_bytes(represented.graph) + repetition.elsewhere_bytes
    places = Places.of(kernels, held, levels)
    for class_id, nodes in kernels.nodes.items():
        memory = _MODES * number[class_id]
        type = egraph.type_of(class_id)
        if isinstance(type, TensorType):
            inline, computed = memory + _INLINE, memory + _COMPUTED
            size = byte_size(type)
            level = places.level(class_id, size)
            rows.add(inline, model.read_us(type, level), (memory,), CHANGE_OF_MODE, "read")
            rows.add(inline, 0.0, (computed,), CHANGE_OF_MODE, "fuse")
            if class_id in places.prepared:
                rows.prepared[len(rows.rows)] = size
            written_us = model.write_us(type)
            rows.add(memory, written_us, (computed,), CHANGE_OF_MODE, f"write {type}")
        is_frozen = egraph.data(class_id).is_frozen and byte_size(type) <= _LARGEST_FROZEN_BYTES
        for enode in nodes:
            children = tuple(_MODES * number[child] for child in enode.children)
            kernel = kernels.of(class_id, enode)
            if kernel.op in DISTANT_OPERANDS:
                kernel = kernels.of(class_id, enode, places.levels(enode, kernel))
            if is_power(enode):
                kernel = compiled_power(kernel, kernels.constant(enode.children[1]))
            if model.is_in_region:
                kernel = kernel.in_region
            _add_enode(
                rows,
                model,
                kernel,
                enode.id,
                memory,
                children,
                is_frozen,
            )
    roots = tuple(dict.fromkeys(_MODES * number[root] for root in represented.roots))
    times = _times(rows, kernels, represented, repetition)
    pairs = zip(rows.rows, times, strict=True)
    counted = [(owner, us * count, operands) for (owner, us, operands), count in pairs]
    problem = Problem.build(_MODES * len(number), counted, roots, rows.signatures)
    operands = tuple(row[2] for row in rows.rows)
    enodes = tuple(rows.enodes)
    return Formulation(
        represented=represented,
        problem=problem,
        enodes=enodes,
        operands=operands,
        number=number,
        kernels=rows.kernels,
        heavy=rows.heavy,
        prepared=rows.prepared,
        prices_us=problem.cost_us,
        times=times,
    )


def _times(
    rows: _Rows, kernels: Kernels, represented: Represented, repetition: Repetition
) -> tuple[int, ...]:
    """How often the program has each node of the problem that the e-graph stands for."""

    def children(class_id: int) -> list[int]:
        return [child for enode in kernels.nodes[class_id] for child in enode.children]

    of_class = repetition.of_classes(represented.roots, children)
    of_number = [of_class.get(class_id, 1) for class_id in kernels.nodes]
    return tuple([of_number[owner // _MODES] for owner, *_ in rows.rows])


def _add_enode(
    rows: _Rows,
    model: PriceModel,
    kernel: Kernel,
    enode: int,
    memory: int,
    children: tuple[int, ...],
    is_frozen: bool,
) -> None:
    """Add an e-node in every mode that it can be computed in; `children` are memory classes."""
    computed, op = memory + _COMPUTED, kernel.op
    in_line = tuple(child + _INLINE for child in children)
    if not children:
        rows.add(memory, 0.0, (), enode, "leaf")
        if _is_computed_inline(kernel):
            rows.add(computed, 0.0, (), enode, "leaf")
        return
    row = TABLE.get(op)
    kind = "generic" if row is None else row.kind
    if kind == "notion":  # stands for operations that it equals, and is none itself
        rows.add(memory, math.inf, children, enode, "notion")
        return
    if is_frozen:
        rows.add(memory, _TIE_BREAK_US, children, enode, "frozen")
    if kernel.is_bitcast:
        rows.add(memory, _TIE_BREAK_US, children, enode, "bitcast")
        for mode in (_INLINE, _COMPUTED):
            inside = tuple(child + mode for child in children)
            rows.add(memory + mode, _TIE_BREAK_US, inside, enode, "bitcast")
        return
    if op == "get_result":
        rows.add(memory, 0.0, children, enode, "leaf")
        return
    if is_fused(op):
        cost = model.inline_us(kernel) + _tie_break_us(kernel)
        if op in ("slice", "dynamic_slice"):
            _add_part(rows, model, kernel, enode, memory, (children[0], *in_line[1:]), cost)
            in_line = (children[0] + _COMPUTED, *in_line[1:])
        rows.add(computed, cost, in_line, enode, f"{op} {kernel.attributes[0]}")
        return
    if kernel.is_measurable:
        rows.kernels[kernel.key] = kernel
    _add_heavy(rows, model, kernel, enode, memory, children)


def _add_part(
    rows: _Rows,
    model: PriceModel,
    kernel: Kernel,
    enode: int,
    memory: int,
    operands: tuple[int, ...],
    cost: float,
) -> None:
    """Add a slice of what lies in memory, of which it reads its part only.

    What a large copy costs is measured: the processor waits for memory that it has not seen lately.
    """
    part = cost + model.part_us(kernel)
    if not kernel.is_measurable:
        rows.add(memory + _COMPUTED, part, operands, enode, kernel.op)
        return
    kernel = _at_the_start(kernel)
    rows.kernels[kernel.key] = kernel
    rows.add(memory + _INLINE, part, operands, enode, kernel.op)
    rows.add_heavy(memory + _COMPUTED, Heavy(kernel, _INSIDE), operands, enode, model)


def _at_the_start(kernel: Kernel) -> Kernel:
    """A slice as large at the least indices, which costs as much: one price for all layers."""
    if kernel.op != "slice":
        return kernel
    starts, limits, strides = kernel.attributes
    ends = tuple(end - start for start, end in zip(starts, limits, strict=True))
    return replace(kernel, attributes=((0,) * len(starts), ends, strides))


def _tie_break_us(kernel: Kernel) -> float:
    """What decides between equal prices, as when a fusion waits for memory whatever it computes."""
    if kernel.op != "unary" and kernel.op != "binary":
        return _TIE_BREAK_US
    function = function_name(kernel.attributes[0])
    if function in EXPENSIVE:
        return _EXPENSIVE_FACTOR * _TIE_BREAK_US
    return _NEGATION_FACTOR * _TIE_BREAK_US if function == "negate" else _TIE_BREAK_US


def _add_heavy(
    rows: _Rows,
    model: PriceModel,
    kernel: Kernel,
    enode: int,
    memory: int,
    children: tuple[int, ...],
) -> None:
    """Add an e-node that is a kernel of its own."""
    computed, op = memory + _COMPUTED, kernel.op
    in_line = tuple(child + _INLINE for child in children)
    if op == "dynamic_update_slice":  # in place: only the window is written
        rows.add(memory, model.write_us(kernel.operands[1]), children, enode, op)
    elif op in _FORMS:
        pairs = zip(kernel.operands, children, in_line, strict=True)
        inputs = tuple(a if _is_read_often(kernel, type) else b for type, a, b in pairs)
        rows.add_heavy(memory, Heavy(kernel, _FORMS[op]), inputs, enode, model)
    else:
        if op == "transpose":
            rows.add_heavy(computed, Heavy(kernel, _INSIDE), children, enode, model)
        rows.add_heavy(memory, Heavy(kernel, _ALONE), children, enode, model)


def _is_read_often(kernel: Kernel, operand: Type) -> bool:
    """Whether a product reads an operand so often that computing it inside would cost much."""
    if kernel.op != "blocked_dot" or not isinstance(operand, TensorType):
        return False
    return kernel.flops // 2 > _FEW_READS * operand.size


def _is_computed_inline(kernel: Kernel) -> bool:
    """Whether a leaf can be generated inside a fusion without reading memory."""
    return kernel.op == "iota" or (kernel.op == "constant" and kernel.attributes[0].is_splat)


def is_computed_inside(owner: int) -> bool:
    """Whether a class of the problem is a value as kernels compute it inside."""
    return owner % _MODES == _COMPUTED


@dataclass(frozen=True)
class Extracted:
    """A program read off a selection.

    `enodes[i]` is the e-node behind node i of `graph`; `frozen` are nodes that depend on constants
    only and are read from memory, so they should be computed ahead of time.
    """

    graph: Graph
    enodes: tuple[int, ...]
    frozen: tuple[int, ...]


def read_program(formulation: Formulation, selection: Selection) -> Extracted:
    """Turn a selection into the program that it stands for; once, whatever the prices.

    What is found out about a program is known while it lives: it is kept for that, too.
    """
    nodes = frozenset(selection.values())
    known = formulation.programs.get(nodes)
    if known is None:
        known = formulation.programs[nodes] = _read_program(formulation, selection)
    return known


def _read_program(formulation: Formulation, selection: Selection) -> Extracted:
    represented = formulation.represented
    egraph, original = represented.egraph, represented.graph
    builder = GraphBuilder(exact=True)
    builder.inputs.extend(original.inputs)
    values: dict[int, int] = {}
    enodes: dict[int, int] = {}
    frozen: list[int] = []
    fixed: set[int] = set()  # values made of constants alone: equal to such ones is not enough

    def emit(node_index: int, owner: int) -> None:
        enode = formulation.enodes[node_index]
        operands = [values[child] for child in formulation.operands[node_index]]
        if enode == CHANGE_OF_MODE:
            values[owner] = operands[0]
            return
        found = egraph.node(enode)
        value = builder.append(
            Node(found.op, found.attributes, tuple(operands), egraph.type_of(enode))
        )
        values[owner] = value.index
        enodes.setdefault(value.index, enode)
        if egraph.data(enode).is_frozen and fixed.issuperset(operands):
            fixed.add(value.index)
            if owner % _MODES == _MEMORY and operands:
                frozen.append(value.index)

    roots = [_MODES * formulation.number[root] for root in represented.roots]
    for root in roots:
        stack = [(root, False)]
        while stack:
            owner, ready = stack.pop()
            if owner in values:
                continue
            index = selection[owner]
            if ready:
                emit(index, owner)
                continue
            stack.append((owner, True))
            stack.extend((child, False) for child in reversed(formulation.operands[index]))
    found_roots = [values[root] for root in roots]
    effects = tuple(found_roots[: len(original.effects)])
    graph = Graph(
        original.inputs, tuple(builder.nodes), tuple(found_roots[len(effects) :]), effects
    )
    chosen = tuple(enodes[i] for i in range(len(graph.nodes)))
    return Extracted(graph, chosen, tuple(dict.fromkeys(frozen)))


def without_frozen(extracted: Extracted) -> Graph:
    """The program with what is computed ahead of time as further inputs."""
    return prune(with_frozen_given(extracted))


def with_frozen_given(extracted: Extracted) -> Graph:
    """The same, where nodes keep their numbers: what nothing uses any more is left behind."""
    graph = extracted.graph
    if not extracted.frozen:
        return graph
    nodes, inputs = list(graph.nodes), list(graph.inputs)
    for index in extracted.frozen:
        nodes[index] = Node("parameter", (len(inputs),), (), nodes[index].type)
        inputs.append(nodes[index].type)
    return Graph(tuple(inputs), tuple(nodes), graph.outputs, graph.effects)
