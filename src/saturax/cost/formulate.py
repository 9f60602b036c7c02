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
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from saturax.cost.distance import MOST_KEPT_BYTES, held_bytes, level_of
from saturax.cost.kernel import BITCASTS, Kernel, byte_size
from saturax.cost.model import EXPENSIVE, PriceModel
from saturax.egraph import EGraph
from saturax.extract.greedy import dag_greedy
from saturax.extract.problem import Problem, Selection
from saturax.graph.build import GraphBuilder
from saturax.graph.ir import Graph, Node
from saturax.graph.operation import TABLE
from saturax.graph.ops.elementwise import function_name
from saturax.graph.types import TensorType
from saturax.represent import Represented

# Ties between equally fast programs go to the one with fewer operations.
_TIE_BREAK_US = 1e-3
# Among them a root or quotient counts as several, a sign, which others absorb, as less than one.
_EXPENSIVE_FACTOR, _NEGATION_FACTOR = 3.0, 0.9
# Larger results are not computed ahead of time: they would cost memory that nobody agreed to.
_LARGEST_FROZEN_BYTES = 256 << 20
# They wait for their operands: how far those are is part of their price.
_DISTANT_OPERANDS = ("dot_general", "convolution")

_MOVEMENT = frozenset({"broadcast_in_dim", "slice", "dynamic_slice", "pad", "reverse"})

CHANGE_OF_MODE = -1
_MEMORY, _INLINE, _COMPUTED, _MODES = 0, 1, 2, 3
_ALONE, _INSIDE = "alone", "inside"


@dataclass(frozen=True)
class Heavy:
    """A kernel whose price may be measured, as `form` says: alone, inside a fusion, or as a
    reduction or concatenation, into which its producers fuse.
    """

    kernel: Kernel
    form: str

    def us(self, model: PriceModel) -> float:
        """Its cost in the extraction problem."""
        price = model.kernel_us(self.kernel)
        if self.form == "reduce":  # it does not read its operand itself
            own = price - model.read_us(self.kernel.operands[0])
            return max(own, 0.5 * price, _TIE_BREAK_US)
        if self.form == _INSIDE:
            return max(price - model.write_us(self.kernel.type), model.inline_us(self.kernel))
        return price if self.form == "concatenate" else price + _TIE_BREAK_US


@dataclass(frozen=True)
class Formulation:
    """An extraction problem over an e-graph, and how to read its solutions.

    Classes 3c, 3c + 1 and 3c + 2 are e-class c in memory, inline and computed (e-classes being
    numbered densely). For node i of the problem, `enodes[i]` is the e-node it stands for, or
    `CHANGE_OF_MODE`, and `operands[i]` lists its operands' problem classes in order. `kernels` maps
    signatures of the problem to the kernels that can be measured; `heavy` maps nodes of the problem
    to kernels whose prices may change.
    """

    represented: Represented
    problem: Problem
    enodes: tuple[int, ...]
    operands: tuple[tuple[int, ...], ...]
    number: dict[int, int]
    kernels: dict[Hashable, Kernel]
    heavy: dict[int, Heavy]

    def repriced(self, model: PriceModel) -> Formulation:
        """The same choice at the prices that the model knows by now."""
        costs = list(self.problem.cost_us)
        for node, heavy in self.heavy.items():
            costs[node] = heavy.us(model)
        return replace(self, problem=self.problem.with_costs(costs))

    def original(self) -> Selection:
        """The original program as a selection, each value in its cheapest mode.

        Found among the original's own e-nodes and classes, which are few in a large e-graph.
        """
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
        found = dag_greedy(Problem.build(problem.class_count, rows, problem.roots))
        return {owner: kept[node] for owner, node in found.items()}

    def used_kernels(self, selections: Iterable[Selection]) -> list[Kernel]:
        """The distinct measurable kernels that some of the selections run."""
        signatures = self.problem.signatures or ()
        used = {signatures[node]: None for s in selections for node in s.values()}
        return [self.kernels[signature] for signature in used if signature in self.kernels]


def kernel_of(egraph: EGraph, class_id: int, enode: Any) -> Kernel:
    """The kernel that an e-node stands for."""
    operands = tuple(egraph.type_of(child) for child in enode.children)
    return Kernel(enode.op, enode.attributes, operands, egraph.type_of(class_id))


@dataclass
class _Rows:
    """Nodes of the problem under construction."""

    rows: list[tuple[int, float, tuple[int, ...]]] = field(default_factory=list)
    enodes: list[int] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    kernels: dict[Hashable, Kernel] = field(default_factory=dict)
    heavy: dict[int, Heavy] = field(default_factory=dict)

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


def formulate(represented: Represented, model: PriceModel) -> Formulation:
    """State the choice of the cheapest program in the e-graph as an extraction problem."""
    egraph = represented.egraph
    classes = list(egraph.classes())
    number = {class_id: index for index, class_id in enumerate(classes)}
    rows = _Rows()
    bytes_held, held = held_bytes(represented.graph), _held(egraph, classes)
    prepared = _prepared(egraph, classes, held) if bytes_held > MOST_KEPT_BYTES else set()
    for class_id in classes:
        memory = _MODES * number[class_id]
        type = egraph.type_of(class_id)
        if isinstance(type, TensorType):
            inline, computed = memory + _INLINE, memory + _COMPUTED
            size = byte_size(type)
            level = level_of(bytes_held - size, size) if class_id in held else 0
            written_us = model.write_us(type)
            if class_id in prepared:
                written_us += model.fresh_us(size)
            rows.add(inline, model.read_us(type, level), (memory,), CHANGE_OF_MODE, "read")
            rows.add(inline, 0.0, (computed,), CHANGE_OF_MODE, "fuse")
            rows.add(memory, written_us, (computed,), CHANGE_OF_MODE, f"write {type}")
        is_frozen = egraph.data(class_id).is_frozen and byte_size(type) <= _LARGEST_FROZEN_BYTES
        for enode in egraph.nodes(class_id):
            children = tuple(_MODES * number[egraph.find(child)] for child in enode.children)
            kernel = kernel_of(egraph, class_id, enode)
            if kernel.op in _DISTANT_OPERANDS:
                is_held = [egraph.find(child) in held for child in enode.children]
                kernel = replace(kernel, levels=_levels(kernel, is_held, bytes_held))
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
    problem = Problem.build(_MODES * len(classes), rows.rows, roots, rows.signatures)
    operands = tuple(row[2] for row in rows.rows)
    enodes = tuple(rows.enodes)
    return Formulation(represented, problem, enodes, operands, number, rows.kernels, rows.heavy)


def _held(egraph: EGraph, classes: Sequence[int]) -> set[int]:
    """Classes in memory before the program runs: inputs, and what depends on frozen ones alone.

    The same elements in another shape are the same memory.
    """
    held = {c for c in classes if egraph.data(c).is_frozen}
    held |= {c for c in classes if any(n.op == "parameter" for n in egraph.nodes(c))}
    views = [
        (class_id, egraph.find(enode.children[0]))
        for class_id in classes
        for enode in egraph.nodes(class_id)
        if enode.op in BITCASTS and kernel_of(egraph, class_id, enode).is_bitcast
    ]
    while more := {view for view, of in views if of in held} - held:
        held |= more
    return held


def _prepared(egraph: EGraph, classes: Sequence[int], held: set[int]) -> set[int]:
    """Classes that loops make of what is held alone, as weights that are scaled beforehand.

    XLA:CPU runs what is ready first, so that all of them lie in memory at the same time: more than
    is kept from run to run, if they are many.
    """
    made = [
        (class_id, tuple(map(egraph.find, enode.children)))
        for class_id in classes
        if class_id not in held
        for enode in egraph.nodes(class_id)
        if enode.children and (enode.op == "reshape" or _is_fused(enode.op))
    ]
    found: set[int] = set()
    while more := {c for c, of in made if all(i in held or i in found for i in of)} - found:
        found |= more
    return found


def _is_fused(op: str) -> bool:
    """Whether an operation is computed inside the kernels that use it."""
    return op in _MOVEMENT or (op in TABLE and TABLE[op].kind == "elementwise")


def _levels(kernel: Kernel, is_held: Sequence[bool], bytes_held: int) -> tuple[int, ...]:
    """How far operands are: all that is held is read between two reads of one that is."""
    sizes = map(byte_size, kernel.operands)
    return tuple(
        level_of(bytes_held - size, size) if held else 0
        for held, size in zip(is_held, sizes, strict=True)
    )


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
        rows.add(computed, _TIE_BREAK_US, in_line, enode, "bitcast")
        return
    if op == "get_result":
        rows.add(memory, 0.0, children, enode, "leaf")
        return
    if _is_fused(op):
        cost = model.inline_us(kernel) + _tie_break_us(kernel)
        rows.add(computed, cost, in_line, enode, f"{op} {kernel.attributes[0]}")
        if op in ("slice", "dynamic_slice"):  # reads only its part of what lies in memory
            part = cost + model.read_us(kernel.type)
            rows.add(computed, part, (children[0], *in_line[1:]), enode, op)
        return
    if kernel.is_measurable:
        rows.kernels[kernel.key] = kernel
    _add_heavy(rows, model, kernel, enode, memory, children)


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
    elif op in ("reduce", "concatenate"):  # their producers fuse into them
        rows.add_heavy(memory, Heavy(kernel, op), in_line, enode, model)
    else:
        if op == "transpose":
            rows.add_heavy(computed, Heavy(kernel, _INSIDE), children, enode, model)
        rows.add_heavy(memory, Heavy(kernel, _ALONE), children, enode, model)


def _is_computed_inline(kernel: Kernel) -> bool:
    """Whether a leaf can be generated inside a fusion without reading memory."""
    return kernel.op == "iota" or (kernel.op == "constant" and kernel.attributes[0].is_splat)


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
    """Turn a selection into the program that it stands for."""
    represented = formulation.represented
    egraph, original = represented.egraph, represented.graph
    builder = GraphBuilder(exact=True)
    builder.inputs.extend(original.inputs)
    values: dict[int, int] = {}
    enodes: dict[int, int] = {}
    frozen: list[int] = []

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
        if owner % _MODES == _MEMORY and egraph.data(enode).is_frozen and operands:
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
