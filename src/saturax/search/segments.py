"""Stage `segments`: the distinct parts of a repetitive graph are optimised one by one.

A network of ninety-six equal layers has one layer to optimise. Each distinct segment goes through
all stages as a program of its own, on the values that it takes in the whole, and what comes out
replaces every segment equal to it. The assembled program is one more candidate of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from saturax.assembly.split import Split, fixed_nodes
from saturax.checking.inputs import Array
from saturax.graph.build import GraphBuilder, prune
from saturax.graph.ir import Graph, Node, Program
from saturax.options import Options
from saturax.report.model import Report
from saturax.search.partition import LARGEST, Partition, Replacement, Segment, partition

# A graph is repetitive if its distinct segments have at most this share of its operations.
_REPETITIVE = 0.6
# Smaller graphs are better off as a whole; so no segment is partitioned in turn.
_LEAST_OPERATIONS = LARGEST * 3 // 2
# Distinct segments with a smaller share of the predicted time are left as they are.
_LEAST_SHARE = 0.05

# In less time a segment is hardly compiled, checked and searched.
_LEAST_S = 1.0


class Optimize(Protocol):
    """Optimises a program as a whole: `saturax.pipeline.optimize_program`."""

    def __call__(
        self,
        program: Program,
        options: Options,
        examples: Sequence[Array] | None,
        /,
        *,
        frozen: Sequence[int] | None,
    ) -> OptimizedSegment:
        """Return the best program, its report and, where inputs were frozen, its parts."""


class OptimizedSegment(Protocol):
    """What `Optimize` returns."""

    @property
    def program(self) -> Program:
        """The best program; the main program of `split`, if there is one."""

    @property
    def report(self) -> Report:
        """What was done."""

    @property
    def split(self) -> Split | None:
        """The parts of the program, where inputs were frozen."""

    @property
    def is_interrupted(self) -> bool:
        """Whether the user wants all of it to end."""


@dataclass(frozen=True)
class Assembled:
    """A graph put together from optimised segments.

    `ahead` are its nodes that can be computed beforehand; `rules` made it of the original; `gains`
    lists, for each distinct segment, how often it occurs and how much faster it became. `fewer()`
    leaves the least accurate third of them as they were; None if none would be left.
    """

    graph: Graph
    ahead: tuple[int, ...]
    rules: Counter[str]
    gains: tuple[tuple[int, float], ...]
    fewer: Callable[[], Assembled | None]


@dataclass(frozen=True)
class _Faster:
    """A distinct segment that occurs `count` times, what replaces it, and what that is like."""

    inner: Graph
    count: int
    replacement: Replacement
    report: Report

    @property
    def added_error(self) -> float:
        """How much the error of its outputs grew, over all its occurrences."""
        chosen = next((c for c in self.report.candidates if c.outcome == "chosen"), None)
        if chosen is None or chosen.largest_error is None or chosen.original_error is None:
            return 0.0
        return self.count * (chosen.largest_error - chosen.original_error)


def repetitive_partition(graph: Graph) -> Partition | None:
    """The segments of a graph if it repeats itself, else None."""
    if graph.effects or len(graph.nodes) < _LEAST_OPERATIONS:
        return None
    found = partition(graph)
    distinct = sum(len(inner.nodes) for inner in found.distinct())
    return found if distinct <= _REPETITIVE * len(graph.nodes) else None


def optimize_segments(
    program: Program,
    parts: Partition,
    frozen: Sequence[int],
    options: Options,
    optimize: Optimize,
    evaluate: Callable[[Graph], list[Array]],
    predict_us: Callable[[Graph], float],
    *,
    is_punctual: bool = False,
) -> Assembled | None:
    """Optimise the distinct segments within `options.time_limit_s`; None if none became faster.

    `frozen` are inputs whose values are fixed. `evaluate(graph)` runs a graph with the program's
    inputs on example values. A segment's share of the time is that of `predict_us(graph)` in all:
    where the program spends its time there is most to gain. Compilations and the last race of a
    segment go beyond its share; if `is_punctual`, others get less for it.
    """
    distinct = parts.distinct()
    fixed = fixed_nodes(parts.whole, frozen)
    time_us = {inner: predict_us(inner) * len(segments) for inner, segments in distinct.items()}
    least_us = _LEAST_SHARE * sum(time_us.values())
    ranked = sorted(time_us, key=time_us.__getitem__, reverse=True)
    most = max(1, int(options.time_limit_s / _LEAST_S))
    worthwhile = [inner for inner in ranked if time_us[inner] > least_us][:most]
    examples = _examples(parts.whole, [distinct[inner][0] for inner in worthwhile], evaluate)
    faster: list[_Faster] = []
    left_s = options.time_limit_s
    for number, inner in enumerate(worthwhile):
        share_s = left_s * time_us[inner] / sum(time_us[g] for g in worthwhile[number:])
        segments = distinct[inner]
        result = optimize(
            Program(inner, symbols=program.symbols),
            replace(options, time_limit_s=share_s),
            examples[inner],
            frozen=_frozen_inputs(segments, fixed) or None,
        )
        seconds = result.report.seconds
        left_s -= seconds if is_punctual else min(share_s, seconds)
        if result.report.outcome == "optimized":
            replacement = _replacement(result, inner)
            faster.append(_Faster(inner, len(segments), replacement, result.report))
        if result.is_interrupted or (is_punctual and left_s < _LEAST_S):
            break
    return _assemble(parts, sorted(faster, key=lambda each: each.added_error))


def _assemble(parts: Partition, faster: Sequence[_Faster]) -> Assembled | None:
    """The program with some segments replaced; the least accurate come last."""
    if not faster:
        return None
    rules: Counter[str] = Counter()
    for each in faster:
        for rule, count in each.report.rules.items():
            rules[rule] += count * each.count
    assembled = parts.assemble({each.inner: each.replacement for each in faster})
    gains = tuple((each.count, each.report.speedup or 1.0) for each in faster)
    fewer = partial(_assemble, parts, faster[: 2 * len(faster) // 3])
    return Assembled(assembled.graph, assembled.marked, rules, gains, fewer)


def _examples(
    whole: Graph, segments: Sequence[Segment], evaluate: Callable[[Graph], list[Array]]
) -> dict[Graph, list[Array]]:
    """The values that the first segment of each kind takes, from one run of the whole."""
    wanted = list(dict.fromkeys(index for segment in segments for index in segment.inputs))
    values = evaluate(prune(replace(whole, outputs=tuple(wanted))))
    by_index = dict(zip(wanted, values, strict=True))
    return {segment.graph: [by_index[i] for i in segment.inputs] for segment in segments}


def _frozen_inputs(segments: Sequence[Segment], fixed: Sequence[bool]) -> list[int]:
    """The inputs whose values are fixed in every one of some equal segments."""
    count = len(segments[0].inputs)
    return [i for i in range(count) if all(fixed[segment.inputs[i]] for segment in segments)]


def _replacement(result: OptimizedSegment, original: Graph) -> Replacement:
    """The optimised graph of a segment; marked is what can be computed beforehand."""
    parts = result.split
    if parts is None:
        return Replacement(result.program.graph)
    builder = GraphBuilder(original.inputs, exact=True)
    parameters = builder.parameters
    frozen = [parameters[i] for i in parts.frozen]
    others = [p for i, p in enumerate(parameters) if i not in set(parts.frozen)]
    literals = [
        builder.append(Node("constant", (literal,), (), literal.type)) for literal in parts.literals
    ]
    computed = builder.inline(parts.prologue.graph, [*frozen, *literals])
    pool = parts.pool(frozen, literals, computed)
    outputs = builder.inline(parts.main.graph, [*pool, *others])
    graph = builder.finish([*outputs, *computed])
    count = len(outputs)
    marked = tuple(i for i in graph.outputs[count:] if graph.nodes[i].operands)
    return Replacement(replace(graph, outputs=graph.outputs[:count]), marked)
