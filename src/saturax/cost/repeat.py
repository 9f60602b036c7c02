"""A kernel several times in one module, one application after the other, as programs run kernels.

A call wakes the threads that run it, and the caller when it is done: 30 to 110 µs around kernels of
20 to 250 µs (products of a 512×512 matrix and a vector, or of 256×256 matrices). What is smaller
than handing over results takes no time at all by itself, as the caller is still busy when the
kernel is done. A kernel that several threads share waits for those that sleep, too: four products
of 128 rows took 51 µs in modules of four and 38 in modules of sixteen, 34 in a program.

Each application waits for the one before, or XLA:CPU would run several at the same time where a
module has more than eight kernels: of sixteen products of a matrix and a vector each took 40 µs
side by side, and 61 one after the other as in a program.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import reduce

from saturax.cost.clusters import clusters_of
from saturax.cost.distance import REUSE_BYTES
from saturax.cost.kernel import BITCASTS, byte_size, kernel_at
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.ops import (
    BARRIER,
    Generic,
    add,
    broadcast_in_dim,
    concatenate_all,
    convert,
    full,
    multiply,
    reshape,
    slice_,
    unary,
)
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.types import TensorType, Type, is_complex, is_float, is_integer

# Threads share these, so that waking them has to be a small part of a call.
_SHARED = frozenset({"dot_general", "blocked_dot", "convolution", "reduce"})
# XLA:CPU computes the one element that is asked for of what it can fuse, so that only other kernels
# can be there several times.
_NEVER_FUSED = _SHARED | LINEAR_ALGEBRA | {"sort", "sort_pair", "scatter", "fft"}
# Four that do not wait for each other run in turns all the same, and leave room for what is beside.
_MOST_TIMES, _MOST_TIMES_APART = 16, 4
# A call of some milliseconds is long enough.
_MOST_FLOPS, _MOST_BYTES = 1 << 28, 1 << 25
# What waits is computed anew for each application: some hundred elements, or a small part of all.
_LINK_BYTES, _LINK_SHARE = 1 << 12, 16
# Operands and results that are near the processor have to stay near, all of them together.
_MOST_NEAR_BYTES = 1 << 20


def most_times(graph: Graph, levels: Sequence[int]) -> int:
    """How often a kernel can be in a module with its inputs as far away as `levels` says."""
    results = [graph.nodes[index] for index in graph.outputs]
    if not graph.inputs or not all(isinstance(node.type, TensorType) for node in results):
        return 1
    if any(node.op not in _NEVER_FUSED for node in results):
        return 1
    if not all(map(byte_size, (*graph.inputs, *(node.type for node in results)))):
        return 1  # without an element there is nothing to wait for
    linked = _linked(graph, levels)
    different = _own_inputs(graph, levels) if linked is None else {linked}
    if _is_fused(graph) or not _depends_on(graph, different):
        return 1
    most = _MOST_TIMES if all(node.op in _SHARED for node in results) else _MOST_TIMES_APART
    near_bytes = sum(byte_size(node.type) for node in results)
    if linked is None:
        own_bytes = sum(byte_size(graph.inputs[index]) for index in different)
        near_bytes += 0 if any(levels) else own_bytes
        far = REUSE_BYTES[max(levels, default=0)] // own_bytes if any(levels) else most
        most = min(_MOST_TIMES_APART, far, _MOST_NEAR_BYTES // max(near_bytes, 1))
    flops = sum(kernel_at(graph, node).flops for node in graph.nodes if node.operands)
    moved = _bytes_moved(graph)
    return max(1, min(most, _MOST_FLOPS // max(flops, 1), _MOST_BYTES // max(moved, 1)))


def repeated(graph: Graph, levels: Sequence[int], times: int) -> tuple[Graph, tuple[int, ...]]:
    """`graph` applied `times` times, and which of its inputs each new one stands for.

    Distant inputs are different in each application, as they are where a program reads them, or
    take turns where so many would be too far away. The smallest near one is linked: it waits for
    the results of the application before, or is different itself where it is too large for that.
    An output is made of the first elements of the last application's, or of those of all that do
    not wait: results that are handed over take time.
    """
    linked, own = _linked(graph, levels), _own_inputs(graph, levels)
    shared = GraphBuilder(exact=True)
    origin: list[int] = []
    sets: list[list[Value]] = []
    for turn in range(_turns(graph, levels, times)):
        arguments = []
        for index, type in enumerate(graph.inputs):
            if turn == 0 or index in own:
                origin.append(index)
                arguments.append(shared.add_parameter(type))
            else:
                arguments.append(sets[0][index])
        sets.append(arguments)
    results: list[list[Value]] = []
    with building(shared):
        for number in range(times):
            arguments = list(sets[number % len(sets)])
            if linked is not None and results:
                arguments[linked] = _waiting(arguments[linked], results[-1])
            results.append([_first_element(x) for x in shared.inline(graph, arguments)])
        kept = results if linked is None else results[-1:]
        outputs = [concatenate_all(each, 0) for each in zip(*kept, strict=True)]
    return shared.finish(outputs), tuple(origin)


def _is_fused(graph: Graph) -> bool:
    """Whether the compiler would fuse a kernel with the slice of its result that is asked for.

    So it does a small sum, and a product without contraction.
    """
    builder = GraphBuilder(graph.inputs, exact=True)
    with building(builder):
        results = builder.inline(graph, builder.parameters)
        sliced = builder.finish([_first_of(value) for value in results])
    return len(clusters_of(sliced)) < len(clusters_of(graph)) + len(results)


def _depends_on(graph: Graph, inputs: Set[int]) -> bool:
    """Whether all that is computed depends on some of these inputs, or on none at all.

    Anything else is the same in each application, and the compiler computes it once.
    """
    depends: list[bool] = []
    is_constant: list[bool] = []
    for node in graph.nodes:
        is_constant.append(node.op != "parameter" and all(is_constant[i] for i in node.operands))
        depends.append(
            node.attributes[0] in inputs
            if node.op == "parameter"
            else any(depends[i] for i in node.operands)
        )
        is_known = node.op == "parameter" or node.op in BITCASTS or is_constant[-1]
        if not is_known and not depends[-1]:
            return False
    return True


def _linked(graph: Graph, levels: Sequence[int]) -> int | None:
    """The smallest near input, if it is small and of numbers."""
    near = [index for index in range(len(graph.inputs)) if not (levels and levels[index])]
    index = min(near, key=lambda index: byte_size(graph.inputs[index]), default=None)
    if index is None or not _has_numbers(graph.inputs[index]):
        return None
    most = max(_LINK_BYTES, _bytes_moved(graph) // _LINK_SHARE)
    return index if byte_size(graph.inputs[index]) <= most else None


def _has_numbers(type: Type) -> bool:
    if not isinstance(type, TensorType):
        return False
    return is_float(type.dtype) or is_complex(type.dtype) or is_integer(type.dtype)


def _bytes_moved(graph: Graph) -> int:
    return sum(map(byte_size, (*graph.inputs, *(graph.nodes[i].type for i in graph.outputs))))


def _own_inputs(graph: Graph, levels: Sequence[int]) -> set[int]:
    """The inputs of which each application has its own, or they take turns."""
    distant = {index for index, level in enumerate(levels) if level}
    if distant or _linked(graph, levels) is not None:
        return distant
    by_size = sorted(range(len(graph.inputs)), key=lambda index: byte_size(graph.inputs[index]))
    return set(by_size[:1])


def _turns(graph: Graph, levels: Sequence[int], times: int) -> int:
    """How many sets of inputs there are."""
    own_bytes = sum(byte_size(graph.inputs[index]) for index in _own_inputs(graph, levels))
    if not own_bytes:
        return 1
    return max(1, min(times, REUSE_BYTES[max(levels)] // own_bytes)) if any(levels) else times


def _first_element(value: Value) -> Value:
    # Without the barrier XLA would make a product of a row of what is multiplied.
    return _first_of(value.builder.append(Node(BARRIER, (Generic(),), (value.index,), value.type)))


def _first_of(value: Value) -> Value:
    ones = (1,) * value.rank
    element: Value = reshape(slice_(value, (0,) * value.rank, ones, ones), (1,))
    return element


def _waiting(value: Value, results: Sequence[Value]) -> Value:
    """`value` as it is, which the compiler cannot know: 0 · x is no constant, x may be NaN."""
    numbers = [unary("real", x) if is_complex(x.dtype) else x for x in results]
    total = reduce(add, (convert(x, "f32") for x in numbers))
    zero = convert(reshape(multiply(total, full(0.0, total.tensor)), ()), value.dtype)
    waiting: Value = add(value, broadcast_in_dim(zero, value.shape, ()))
    return waiting
