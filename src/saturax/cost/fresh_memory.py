"""Which temporary values lie in memory that is new in each run, and what extraction pays for it.

XLA:CPU gets all temporary values of a run from the C library as one block. One of up to
`MOST_KEPT_BYTES` is the same memory in the next run; of a larger one the system clears every page
when it is written to. Measured with 8 to 48 MB of scaled weights among 16 to 64 MB of inputs: up to
30 MB no page was new, with 48 MB all were and took longer than all the rest, whatever the inputs.
"""

from __future__ import annotations

from dataclasses import replace

from saturax.cost.distance import MOST_KEPT_BYTES
from saturax.cost.formulate import Formulation, read_program, without_frozen
from saturax.cost.memory import memory_of
from saturax.cost.model import PriceModel
from saturax.extract.problem import Selection
from saturax.graph.ir import Graph, Program, node_regions

# Programs that write so much less in all, copies in other layouts and types among it, are not
# planned: that takes a tenth of a second for a thousand operations.
_FAR_LESS = 0.25


def fresh_bytes(graph: Graph) -> int:
    """Bytes of a program's temporary values, if they are more than is kept from run to run."""
    size = memory_of(Program(graph)).temporary_bytes
    return size if size > MOST_KEPT_BYTES else 0


def charge_fresh_memory(
    formulation: Formulation, chosen: Selection, model: PriceModel
) -> Formulation:
    """The same choice where what programs prepare costs new memory, if the `chosen` one needs that.

    All that is prepared lies there at the same time, and adds to the block. Where the original can
    do with the memory that is kept, so does what it prepares.
    """
    if formulation.charged or not any(node in formulation.prepared for node in chosen.values()):
        return formulation
    if not _needs_fresh_memory(formulation, chosen):
        return formulation
    original = formulation.original()
    spared = () if _needs_fresh_memory(formulation, original) else original.values()
    charged = formulation.prepared.keys() - set(spared)
    costs = list(formulation.problem.cost_us)
    for node in charged:
        costs[node] += formulation.times[node] * model.fresh_us(formulation.prepared[node])
    problem = formulation.problem.with_costs(costs)
    return replace(formulation, problem=problem, charged=frozenset(charged))


def _needs_fresh_memory(formulation: Formulation, selection: Selection) -> bool:
    known, nodes = formulation.needs_fresh_memory, frozenset(selection.values())
    if nodes not in known:
        graph = without_frozen(read_program(formulation, selection))
        is_little = formulation.written_bytes(selection) <= _FAR_LESS * MOST_KEPT_BYTES
        has_more_inside = any(node_regions(node) for node in graph.nodes)
        known[nodes] = (has_more_inside or not is_little) and fresh_bytes(graph) > 0
    return known[nodes]
