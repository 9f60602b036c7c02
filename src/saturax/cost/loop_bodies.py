"""What the kernels of a loop's body cost besides their work, in each trip.

XLA:CPU (jaxlib 0.10.2) compiles a loop that moves less than a kilobyte in a trip, and calls no
library, into one function: its kernels are lines of that function. A larger body runs kernel by
kernel, but in the thread that is at it anyhow. Either is far less than what another kernel of a
program costs, which may have to wait for a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from saturax.cost.clusters import Cluster, clusters_of
from saturax.cost.kernel import byte_size, kernel_at
from saturax.graph.ir import Graph
from saturax.graph.ops import generic_of

# The option `xla_cpu_small_while_loop_byte_threshold` of XLA:CPU, where it is not given.
_SMALL_BYTES = 1024
# Scans of 4,096 trips: 4 kernels took 4 ns with one column, 75 ns with 64 columns (Xeon 6/207).
_SMALL_KERNEL_US, _KERNEL_US = 0.001, 0.02
# What the compiler does not put into such a function; other operations without rules may be calls.
_CALLS = frozenset({"dot_general", "blocked_dot", "convolution", "scatter", "fft"})
_SLICES = frozenset({"slice", "dynamic_slice", "gather"})
_FOUND: WeakKeyDictionary[Graph, Body] = WeakKeyDictionary()


@dataclass(frozen=True)
class Body:
    """A body or condition of a loop.

    `light_kernels` are those that are not measured, `bytes_moved` what all of them read and write;
    `has_calls` says whether there is something that is not compiled in place.
    """

    light_kernels: int
    bytes_moved: int
    has_calls: bool


def body_of(graph: Graph) -> Body:
    """What is to be known of a body; it is known while the graph lives."""
    found = _FOUND.get(graph)
    if found is None:
        clusters = clusters_of(graph)
        found = _FOUND[graph] = Body(
            sum(not kernel_at(graph, graph.nodes[c.root]).is_measurable for c in clusters),
            sum(map(_bytes_moved, clusters)),
            any(node.op in _CALLS or generic_of(node) is not None for node in graph.nodes),
        )
    return found


def trip_us(regions: tuple[Graph, ...], regions_us: float, launch_us: float) -> float:
    """One trip of a loop whose regions take `regions_us` as programs, at `launch_us` a kernel."""
    bodies = [body_of(region) for region in regions]
    is_small = sum(body.bytes_moved for body in bodies) < _SMALL_BYTES
    in_place = is_small and not any(body.has_calls for body in bodies)
    kernel_us = min(launch_us, _SMALL_KERNEL_US if in_place else _KERNEL_US)
    kernels = sum(body.light_kernels for body in bodies)
    return max(regions_us - kernels * launch_us, 0.0) + kernels * kernel_us


def _bytes_moved(cluster: Cluster) -> int:
    """What a kernel reads and writes, by XLA's cost analysis: of a slice, what is taken out."""
    graph = cluster.graph
    (written, *_) = (graph.nodes[i] for i in graph.outputs)
    is_update = written.op == "dynamic_update_slice"
    update = byte_size(graph.nodes[written.operands[1]].type) if is_update else 0
    moved = update if is_update else sum(map(byte_size, graph.output_types))
    for index, node in enumerate(graph.nodes):
        if node.op != "parameter":
            continue
        users = [user for user in graph.nodes if index in user.operands]
        if all(user.op in _SLICES and user.operands[0] == index for user in users):
            moved += sum(byte_size(user.type) for user in users)
        elif is_update and written.operands[0] == index and len(users) == 1:
            moved += update
        else:
            moved += byte_size(node.type)
    return moved
