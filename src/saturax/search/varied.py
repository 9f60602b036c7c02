"""The end of a search: the best program, thoroughly extracted, and others to measure beside it."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial

from saturax.collector import collector_paused
from saturax.cost.formulate import read_program, without_frozen
from saturax.extract import Extraction, Problem, Selection, extract, selected_us, tree_greedy
from saturax.graph.ir import Graph
from saturax.run import Run, unless_interrupted
from saturax.search.outline import Outline
from saturax.search.pricing import Pricing
from saturax.search.ranking import READING_SHARE, Ranking
from saturax.search.rounds import CLOSE_ENOUGH, LEAST_PROGRESS, Found, is_telling

_EXTRACTION_SHARE = 0.1
_EXTRACTION_ROUNDS = 4
# Programs are extracted in so many times the number wanted, and the best of them as wholes kept.
_CONSIDERED = 3
# Parts of a program's cost that are smaller are no reason to measure another.
_TELLING_SHARE = 1e-3


@collector_paused()
def extract_varied(
    run: Run, found: Found, pricing: Pricing, outline: Outline
) -> tuple[Found, Extraction]:
    """The best program by a thorough search, and others to measure beside it.

    A thorough search finds kernels that nobody has measured; while it does, they are measured and
    it searches again, for half of the time that is left, because predictions are optimistic. Once
    all prices are known it searches once more if the last search found something better.
    """
    left_s = min(run.options.limits.extraction_s, run.share_s(_EXTRACTION_SHARE))
    is_greedy = run.options.extraction == "greedy"
    count = run.options.candidates * (1 if is_greedy else _CONSIDERED)
    selections: tuple[Selection, ...] = ()
    with run.stage("extract") as notes:
        for again in reversed(range(_EXTRACTION_ROUNDS)):
            started, begun_us = time.monotonic(), selected_us(found.formulation.problem, found.best)
            extraction = unless_interrupted(
                extract(
                    found.formulation.problem,
                    time_limit_s=0.0 if is_greedy else left_s / (2 if again else 1),
                    initial=found.best,
                    others=selections,
                    count=count,
                    close_enough=CLOSE_ENOUGH,
                    seed=run.options.seed,
                )
            )
            left_s = max(0.0, left_s - (time.monotonic() - started))
            selections = extraction.selections
            formulation = pricing.charged(found.formulation, selections[0])
            is_new = again and pricing.complete(formulation.used_kernels(selections))
            if is_new:
                formulation = formulation.repriced(pricing.model)
            if again and (is_new or is_telling(found.formulation, formulation, selections[0])):
                found = replace(found, formulation=formulation)
            elif (
                extraction.stop_reason != "time limit"
                or extraction.cost_us > (1 - LEAST_PROGRESS) * begun_us
            ):
                break
            problem = found.formulation.problem
            begun = min(found.best, selections[0], key=partial(selected_us, problem))
            found = replace(found, best=begun)
        notes |= {
            "predicted_us": extraction.cost_us,
            "bound_us": extraction.lower_bound_us,
            "stopped by": extraction.stop_reason,
            "solver": [f"{each.name}: {each.note}" for each in extraction.stages if each.note],
        }
    if not is_greedy:
        with run.stage("rank") as notes:
            extraction, notes["considered"] = _ranked(
                found, extraction, pricing, outline, run.options.candidates
            )
    return found, extraction


def _ranked(
    found: Found, extraction: Extraction, pricing: Pricing, outline: Outline, count: int
) -> tuple[Extraction, int]:
    """The `count` programs that are cheapest as wholes, and of how many.

    The one of the least sum is always among them. Each of the two predictions is wrong at times: of
    NasRNN's weights merged, a whole of many small products that were to overlap was 1.1 times as
    fast as the original, the least sum 1.6 times.

    Where each value takes its cheapest form, whatever others take, the sum of prices is higher, as
    shared values count once; the whole may still be cheaper.
    """
    problem, ranking = found.formulation.problem, Ranking(pricing)
    until = time.monotonic() + READING_SHARE * pricing.run.budget_s
    distinct: dict[Graph, Selection] = {}  # selections that differ in modes may be one program
    seen: set[Hashable] = set()
    best, *others = extraction.selections
    for selection in (best, tree_greedy(problem), *others):
        if (kernels := _telling_kernels(problem, selection)) in seen:
            continue
        seen.add(kernels)
        program = without_frozen(outline.whole(read_program(found.formulation, selection)))
        # One that is hard to read, by itself, leaves time for others.
        half_s = (until - time.monotonic()) / 2
        if program not in distinct and ranking.read(program, time.monotonic() + half_s):
            distinct[program] = selection
        elif not distinct:
            costs_us = extraction.costs_us[:count]
            few = replace(extraction, selections=extraction.selections[:count], costs_us=costs_us)
            return few, 1
        if time.monotonic() >= until:
            break
    order = with_first(ranking.order(list(distinct)))[:count]
    selections = [list(distinct.values())[number] for number in order]
    costs_us = tuple(selected_us(problem, selection) for selection in selections)
    ranked = replace(extraction, selections=tuple(selections), costs_us=costs_us)
    return ranked, len(distinct)


def _telling_kernels(problem: Problem, selection: Selection) -> Hashable:
    """What two programs differ in if one of them is noticeably faster: their cost, and its parts.

    To read a large program takes longer than such a difference is worth.
    """
    least_us = _TELLING_SHARE * selected_us(problem, selection)
    kinds, cost_us = problem.signatures or (), problem.cost_us
    kernels = Counter(kinds[n] for n in selection.values() if cost_us[n] >= least_us)
    total = round(math.log1p(selected_us(problem, selection)) / _TELLING_SHARE)
    return total, frozenset(kernels.items())


def with_first(order: Sequence[int]) -> list[int]:
    """The numbers in their order, number 0 in the second place at the latest.

    >>> with_first([3, 1, 0, 2]), with_first([0, 1]), with_first([1, 0]), with_first([0])
    ([3, 0, 1, 2], [0, 1], [1, 0], [0])
    """
    best, *others = order
    return [best, *sorted(others, key=bool)]
