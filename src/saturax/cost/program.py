"""The price of a whole program: the kernels that XLA would make of it, as XLA would run them.

Where the extraction problem (`formulate`) has to add up operations, a program as a whole can be
seen as the compiler sees it. A kernel is measured as a module of its own, with large inputs as cold
as they are in the program: a weight that is read again only when everything else has been read in
between is no longer in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

from saturax.cost.clusters import Cluster, clusters_of, library_passes_us
from saturax.cost.concurrency import Load, makespan_us
from saturax.cost.distance import Touched, bytes_read, level_of
from saturax.cost.folded import folded
from saturax.cost.formulate import formulate
from saturax.cost.kernel import byte_size, kernel_at
from saturax.cost.loop_bodies import trip_us
from saturax.cost.loop_kernels import is_loop_kernel, loop_us
from saturax.cost.loops import WHILE, trip_count
from saturax.cost.merged import merged
from saturax.cost.model import PriceModel
from saturax.cost.schedule import Step, breadth_first
from saturax.extract import dag_greedy, selected_us
from saturax.graph.fingerprint import fingerprint
from saturax.graph.ir import Graph
from saturax.graph.operation import TABLE
from saturax.graph.ops import generic_of
from saturax.graph.types import TensorType
from saturax.search.represent import represent

_FOUND: WeakKeyDictionary[Graph, tuple[ClusterKernel, ...]] = WeakKeyDictionary()
_DIGESTS: WeakKeyDictionary[Graph, str] = WeakKeyDictionary()


@dataclass(frozen=True)
class ClusterKernel:
    """A cluster and how far its inputs are: `levels[i]` of input i, 0 being the nearest cache."""

    graph: Graph
    levels: tuple[int, ...]

    @property
    def is_measurable(self) -> bool:
        """Whether it can run by itself, and ends."""
        nodes = [node for node in self.graph.nodes if node.operands and node.op != "get_result"]
        kernels = [kernel_at(self.graph, node) for node in nodes]
        tensors = all(isinstance(t, TensorType) for t in self.graph.inputs)
        return tensors and all(k.op in TABLE or k.is_measurable for k in kernels)

    @cached_property
    def key(self) -> str:
        """Text that identifies it in the price database."""
        digest = _DIGESTS.get(self.graph)
        if digest is None:
            digest = _DIGESTS[self.graph] = fingerprint(self.graph)
        return f"cluster {digest} {''.join(map(str, self.levels))}"


def kernels_of_program(graph: Graph) -> tuple[ClusterKernel, ...]:
    """The kernels of a program, with the distances of their inputs; known while the graph lives."""
    found = _FOUND.get(graph)
    if found is None:
        whole = merged(graph)
        clusters = clusters_of(whole)
        levels = _levels(whole, clusters)
        found = _FOUND[graph] = tuple(
            ClusterKernel(cluster.graph, tuple(levels[number, i] for i in cluster.inputs))
            for number, cluster in enumerate(clusters)
        )
    return found


def program_us(
    graph: Graph, model: PriceModel, measured: Mapping[str, Load], cores: int = 1
) -> float:
    """Predicted time of a program on so many cores; `measured` maps keys of its kernels."""
    loads, graph = [], merged(graph)
    for kernel in kernels_of_program(graph):
        known = measured.get(kernel.key)
        loads.append(predicted_load(kernel, model, cores) if known is None else known)
    return makespan_us(graph, clusters_of(graph), loads, cores)


def unmeasured(
    programs: Iterable[Graph], model: PriceModel, measured: Mapping[str, Load]
) -> list[ClusterKernel]:
    """The distinct kernels without a price, those first that are predicted to take longest."""
    found = {k.key: k for graph in programs for k in kernels_of_program(graph)}
    missing = [kernel for key, kernel in found.items() if key not in measured]
    return sorted(missing, key=lambda kernel: -predict_us(kernel, model))


def predict_us(kernel: ClusterKernel, model: PriceModel) -> float:
    """A kernel that was not measured: the sum of its operations, as far as they do not fuse."""
    if is_loop_kernel(kernel.graph):
        return loop_us(kernel.graph, kernel.levels, model)
    loops = [node for node in kernel.graph.nodes if node.op == WHILE]
    if len(loops) == 1 and (loop := generic_of(loops[0])) is not None:
        launch_us = model.calibration.kernel_overhead_us
        regions_us = sum(program_us(region, model, {}) for region in loop.regions)
        return launch_us + trip_count(loop) * trip_us(loop.regions, regions_us, launch_us)
    alone = represent(folded(kernel.graph))  # nothing but the kernel is in it
    problem = formulate(alone, model, kernel.levels).problem
    return selected_us(problem, dag_greedy(problem)) + _passes_us(kernel.graph, model)


def _passes_us(graph: Graph, model: PriceModel) -> float:
    """What the library takes longer for a kernel than a loop would."""
    return sum(
        model.on_all_cores_us(time_us, getattr(graph.nodes[index].type, "size", 0))
        for index, time_us in library_passes_us(graph).items()
    )


def predicted_load(kernel: ClusterKernel, model: PriceModel, cores: int) -> Load:
    """A kernel that was not measured; those that were kept between one and all cores busy."""
    return Load(predict_us(kernel, model), (1 + cores) / 2)


def _levels(graph: Graph, clusters: Sequence[Cluster]) -> dict[tuple[int, int], int]:
    """(cluster number, input) → level, when the program runs again and again.

    The distance of a read is what was read and written since the value was touched last; that of
    the first read in a run goes back into the run before.
    """
    order = breadth_first([Step(c.root, c.inputs, ((c.root, 0),)) for c in clusters])
    parts = [bytes_read(cluster.graph) for cluster in clusters]
    number_of = {cluster.root: number for number, cluster in enumerate(clusters)}
    levels: dict[tuple[int, int], int] = {}
    touched = Touched(2 * sum(len(cluster.inputs) + 1 for cluster in clusters))
    for is_second_run in (False, True):
        for number in (number_of[step.root] for step in order):
            cluster = clusters[number]
            for value in cluster.inputs if is_second_run else ():
                size = byte_size(graph.nodes[value].type)
                levels[number, value] = level_of(touched.bytes_since(value), size)
            # Only now: what a kernel reads beside a value comes with it, and not before it.
            for position, value in enumerate(cluster.inputs):
                touched.touch(value, parts[number].get(position, 0))
            touched.touch(cluster.root, byte_size(graph.nodes[cluster.root].type))
    return levels
