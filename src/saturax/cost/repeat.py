"""A kernel several times in one module, so that all of them share what a call costs besides.

A program runs its kernels one right after the other. A call of a module of one kernel wakes the
threads that run it, and the caller when it is done: 30 to 110 µs around kernels of 20 to 250 µs
(products of a 512×512 matrix and a vector, or of 256×256 matrices). What is smaller than handing
over results takes no time at all by itself, as the caller is still busy when the kernel is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from saturax.cost.distance import REUSE_BYTES
from saturax.cost.kernel import byte_size
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import BARRIER, Generic, concatenate, reshape, slice_
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.types import TensorType

# XLA:CPU lets kernels of a program run at the same time if it has more than eight of them. Four
# leave room for what is beside them, and run in turns as those of a chain do.
_MOST_TIMES = 4
# Operands and results that are near the processor have to stay near, all of them together.
_MOST_NEAR_BYTES = 1 << 20
# XLA:CPU computes the one element that is asked for of what it can fuse, so that only other kernels
# can be there several times.
_NEVER_FUSED = LINEAR_ALGEBRA | {
    "dot_general", "blocked_dot", "convolution", "reduce", "sort", "sort_pair", "scatter", "fft",
}  # fmt: skip


def most_times(graph: Graph, levels: Sequence[int]) -> int:
    """How often a kernel can be in a module with its inputs as far away as `levels` says."""
    results = [graph.nodes[index] for index in graph.outputs]
    if not graph.inputs or not all(isinstance(node.type, TensorType) for node in results):
        return 1
    if any(node.op not in _NEVER_FUSED for node in results):
        return 1
    own_bytes = sum(byte_size(graph.inputs[index]) for index in _own_inputs(graph, levels))
    near_bytes = sum(byte_size(node.type) for node in results)
    farthest = max(levels, default=0)
    if farthest:
        limit = min(REUSE_BYTES[farthest] // own_bytes, _MOST_NEAR_BYTES // max(near_bytes, 1))
    else:
        limit = _MOST_NEAR_BYTES // max(near_bytes + own_bytes, 1)
    return max(1, min(_MOST_TIMES, limit))


def repeated(graph: Graph, levels: Sequence[int], times: int) -> tuple[Graph, tuple[int, ...]]:
    """`graph` applied to `times` sets of inputs, and which of its inputs each new one stands for.

    Distant inputs are different in each application, as they are where a program reads them; of a
    graph without any, the smallest is, or all applications would be one. An output is made of the
    first elements of those of each application: results that are handed over take time.
    """
    own = _own_inputs(graph, levels)
    shared = GraphBuilder(exact=True)
    origin: list[int] = []
    common: dict[int, Value] = {}
    results: list[list[Value]] = []
    for _ in range(times):
        arguments = []
        for index, type in enumerate(graph.inputs):
            if index in own or index not in common:
                common[index] = shared.add_parameter(type)
                origin.append(index)
            arguments.append(common[index])
        results.append(shared.inline(graph, arguments))
    with building(shared):
        outputs = [_first_elements(each) for each in zip(*results, strict=True)]
    return shared.finish(outputs), tuple(origin)


def _own_inputs(graph: Graph, levels: Sequence[int]) -> set[int]:
    """The inputs that are different in each application."""
    distant = {index for index, level in enumerate(levels) if level}
    by_size = sorted(range(len(graph.inputs)), key=lambda index: byte_size(graph.inputs[index]))
    return distant or set(by_size[:1])


def _first_elements(values: Sequence[Value]) -> Value:
    elements = []
    for value in values:
        # Without the barrier XLA would make a product of a row of what is multiplied.
        held = value.builder.append(Node(BARRIER, (Generic(),), (value.index,), value.type))
        ones = (1,) * held.rank
        elements.append(reshape(slice_(held, (0,) * held.rank, ones, ones), (1,)))
    joined: Value = reduce(lambda x, y: concatenate(x, y, 0), elements)
    return joined
