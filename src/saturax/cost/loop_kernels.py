"""The price of one kernel that XLA makes a loop of, if nobody has measured it.

What the kernel computes at several indices counts as often, and more where the compiler has to do
one element at a time (`emission`). What it reads again is near.
"""

from __future__ import annotations

from math import prod
from typing import Any
from weakref import WeakKeyDictionary

from saturax.cost.clusters import Fusion
from saturax.cost.distance import REUSE_BYTES
from saturax.cost.kernel import byte_size, compiled_power, is_power, kernel_at
from saturax.cost.model import PriceModel
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType

_FOUND: WeakKeyDictionary[Graph, Fusion] = WeakKeyDictionary()


def is_loop_kernel(graph: Graph) -> bool:
    """Whether a kernel's graph is a loop over the elements of its one result."""
    if len(graph.outputs) != 1 or graph.effects:
        return False
    fusion, (root,) = _fusion_of(graph), graph.outputs
    is_whole = [i for i, is_root in enumerate(fusion.is_root) if is_root] == [root]
    tensors = all(isinstance(node.type, TensorType) for node in graph.nodes)
    return is_whole and tensors and fusion.is_loop[root] and root not in fusion.library


def loop_us(graph: Graph, levels: tuple[int, ...], model: PriceModel) -> float:
    """Microseconds of such a kernel; `levels[i]` says how far input i is (`distance`)."""
    fusion, (root,) = _fusion_of(graph), graph.outputs
    changed = _changed_in_place(graph, fusion)
    written = graph.nodes[root if changed is None else graph.nodes[root].operands[1]]
    time_us = model.write_us(written.type)
    for index, node in enumerate(graph.nodes):
        if index == changed or (index == root and changed is not None):
            continue
        type = node.type
        assert isinstance(type, TensorType)
        if node.op == "parameter":
            often, again = fusion.emissions.reads(index)
            number: Any = node.attributes[0]
            far = REUSE_BYTES[levels[number]] or 0
            once = model.move_us(byte_size(type), far) if far else model.read_us(type)
            time_us += min(1.0, often) * once
            time_us += max(0.0, again) * model.elementwise_us("add", type.dtype, prod(type.shape))
        elif node.operands and not fusion.is_constant[index]:
            times = fusion.emissions.times_computed(index)
            kernel = kernel_at(graph, node)
            if is_power(node):
                kernel = compiled_power(kernel, _constant(graph, node.operands[1]))
            time_us += times * model.inline_us(kernel)
    return time_us


def _constant(graph: Graph, index: int) -> Literal | None:
    """The constant that a value repeats, or is."""
    node = graph.nodes[index]
    if node.op == "broadcast_in_dim":
        return _constant(graph, node.operands[0])
    literal: Any = node.attributes[0] if node.op == "constant" else None
    return literal if isinstance(literal, Literal) else None


def _changed_in_place(graph: Graph, fusion: Fusion) -> int | None:
    """The input of which a kernel writes a part, where it lies, if it does nothing else with it."""
    (root,) = graph.outputs
    node = graph.nodes[root]
    if node.op != "dynamic_update_slice":
        return None
    changed = node.operands[0]
    is_input = graph.nodes[changed].op == "parameter"
    return changed if is_input and fusion.users[changed] == [root] else None


def _fusion_of(graph: Graph) -> Fusion:
    found = _FOUND.get(graph)
    if found is None:
        found = _FOUND[graph] = Fusion(graph)
    return found
