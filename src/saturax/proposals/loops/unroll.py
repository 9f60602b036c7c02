"""Short loops written out: their steps share rewrites with one another and with what is around.

for t < n: c ← f(c)    =    f(f(… f(c)))
"""

from __future__ import annotations

from saturax.graph.build import Value, building
from saturax.proposals.equality import Equalities
from saturax.proposals.loops.batched import constant_of
from saturax.proposals.loops.structure import Loop, loops_of

# Written out, a loop may have so many operations, and so many iterations.
_MOST_OPERATIONS, _MOST_ITERATIONS = 240, 8


def unroll_loops(equalities: Equalities) -> None:
    """Propose each short loop as the sequence of its steps."""
    for loop in loops_of(equalities.graph):
        count = loop.trip_count
        if count is None or not 0 < count <= _MOST_ITERATIONS:
            continue
        if count > 1 and count * loop.body.size() > _MOST_OPERATIONS:
            continue
        with building(equalities.builder):
            _unroll(equalities, loop, count)


def _unroll(equalities: Equalities, loop: Loop, count: int) -> None:
    values = [equalities.value(place) for place in loop.initial]
    captured = [equalities.value(place) for place in loop.captured]
    for step in range(count):
        arguments = [*_with_counters(loop, values, step), *captured]
        values = equalities.builder.inline(loop.body, arguments)
    values = _with_counters(loop, values, count)
    for carry, places in loop.results.items():
        for place in places:
            equalities.equate(place, values[carry])


def _with_counters(loop: Loop, values: list[Value], step: int) -> list[Value]:
    """The carries before a step, counters as the constants that they are."""
    return [
        constant_of(loop.counters[k][step]) if k in loop.counters else value
        for k, value in enumerate(values)
    ]
