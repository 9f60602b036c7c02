"""Kernels side by side: how long a program takes that has more cores than some of its kernels use.

XLA:CPU runs the kernels of a program with more than eight of them as soon as what they read is
there. A product of 1024×64 with 64×64 keeps one core busy, and so two of them take no longer than
one; of two that share all cores the second gets what the first leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saturax.cost.clusters import Cluster
from saturax.graph.ir import Graph

# XLA's executor of thunks runs so few in their order (jaxlib 0.10.2, `ThunkExecutor`).
_MOST_IN_ORDER = 8
_NOTHING_US = 1e-9


@dataclass(frozen=True)
class Load:
    """What a kernel takes by itself, and how many cores it keeps busy."""

    time_us: float
    cores: float = 1.0


def makespan_us(
    graph: Graph, clusters: Sequence[Cluster], loads: Sequence[Load], cores: int
) -> float:
    """Time of a program whose kernels have such loads, on so many cores.

    >>> makespan_us(Graph((), (), ()), [], [], 2)
    0.0
    """
    if len(clusters) <= _MOST_IN_ORDER or cores == 1:
        return sum((load.time_us for load in loads), 0.0)
    waits_for = _dependencies(graph, clusters)
    left_us = [load.time_us for load in loads]
    ready = [number for number, of in enumerate(waits_for) if not of]
    waiting = {number: set(of) for number, of in enumerate(waits_for) if of}
    users: dict[int, list[int]] = {}
    for number, of in enumerate(waits_for):
        for other in of:
            users.setdefault(other, []).append(number)
    # Of a kernel that takes less than what is taken off its time, the ratio of both says nothing.
    wanted = [min(load.cores, cores) for load in loads]
    total_us = 0.0
    while ready:
        free, running = float(cores), []
        for number in ready:
            if free <= 0:
                break
            speed = min(1.0, free / wanted[number])
            free -= speed * wanted[number]
            running.append((number, speed))
        step_us = min(left_us[number] / speed for number, speed in running)
        total_us += step_us
        for number, speed in running:
            left_us[number] -= speed * step_us
            if left_us[number] > _NOTHING_US:
                continue
            ready.remove(number)
            for user in users.get(number, ()):
                waiting[user].discard(number)
                if not waiting[user]:
                    ready.append(user)
    return total_us


def _dependencies(graph: Graph, clusters: Sequence[Cluster]) -> list[frozenset[int]]:
    """The numbers of the kernels whose results each kernel reads."""
    number_of = {cluster.root: number for number, cluster in enumerate(clusters)}
    written: list[frozenset[int]] = []
    for index, node in enumerate(graph.nodes):
        own = number_of.get(index)
        views = (written[operand] for operand in node.operands)
        written.append(frozenset().union(*views) if own is None else frozenset({own}))
    return [frozenset().union(*(written[i] for i in cluster.inputs)) for cluster in clusters]
