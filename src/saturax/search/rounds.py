"""The search by prediction: saturate, price and extract, in rounds and inside loop bodies."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from saturax.collector import collector_paused
from saturax.cost.formulate import Extracted, Formulation, read_program
from saturax.cost.kernel import CONTROL_FLOW
from saturax.cost.loops import WHILE
from saturax.egraph import rules_between, saturate
from saturax.egraph.errors import RuleApplicationError
from saturax.extract import (
    Selection,
    dag_greedy,
    extract,
    selected_us,
    sharing_greedy,
    tree_greedy,
)
from saturax.graph.ir import Graph
from saturax.graph.ops import Generic, generic_of, usual_region
from saturax.proposals import propose
from saturax.proposals.equality import Equalities
from saturax.report.model import IN_BODY
from saturax.rules.rule import Rule
from saturax.run import Run, unless_interrupted
from saturax.search.growth import Kept, grow, limits_of, numerics_of
from saturax.search.pricing import Pricing
from saturax.search.represent import Represented, represent

logger = logging.getLogger("saturax")

_PRICING_ROUNDS = 20
# Predictions are optimistic so that what could win is measured. Once the time for that is over, or
# the rounds are, what was never measured has to win by so much.
_CAUTION = 2.0
# The least gain for which another round of search is begun.
LEAST_PROGRESS = 0.01
# What is proven to be so close to the best is not improved: prices are not that accurate.
CLOSE_ENOUGH = 0.005
# Long runs give an extraction of a round as much as this, so that a busy machine changes nothing.
_EXTRACTION_SHARE = 0.01
# Programs of so many operations are searched twice.
_SEARCHED_TWICE = 400
# Also where measuring took all the time for searching: the second search finds most prices known,
# and without it a first run of image filters took 1.3 times as long as greedy extraction's program.
_LEAST_SHARE_FOR_SECOND = 0.45
# Rules of many small steps go first, as far as they get: those of constants, which many rules look
# at, in every round, and those of slices on their way to the inputs in a round of their own. What a
# classifier makes of one token it asks of the last block alone, some forty operations away; where
# that is no gain, the copies that slices make of what they pass would be in the way.
_FOLDING = ("fold_",)
_NARROWING = ("slice_", "drop_full_slice", "merge_slices", "pull_transpose_out_of_slice")


class _Care(IntEnum):
    """How a round extracts: by trees, by sharing, or exactly as far as its time goes.

    Local search alone left N-body at 226 µs, by prediction, where rounds that extract exactly come
    to 132, and the scan of a Kalman filter at 405 (394).
    """

    LEAST, MORE, MOST = range(3)


@dataclass(frozen=True)
class Found:
    """Outcome of a search: the last e-graph as an extraction problem, and how it was reached.

    `rounds` are the programs that the rounds of the search began with (the original first), with
    their predicted times; `rules` lead from the original to the last of them. `usual` are the
    kernels that the original runs; `first` is what the first round that gained something began
    with and found, if others followed. `other` is what the second search of a small program found.
    """

    formulation: Formulation
    best: Selection
    rounds: tuple[tuple[Extracted, float], ...]
    rules: Counter[str]
    usual: frozenset[Hashable]
    first: tuple[Formulation, Selection] | None = None
    other: Found | None = None

    @property
    def original_us(self) -> float:
        """Predicted time of the original."""
        return self.rounds[0][1]

    @property
    def best_us(self) -> float:
        """Predicted time of the best program."""
        return selected_us(self.formulation.problem, self.best)


@collector_paused()
def search(
    run: Run,
    equalities: Equalities,
    rules: Sequence[Rule],
    pricing: Pricing,
    frozen: frozenset[int] = frozenset(),
) -> Found:
    """The best program that rounds lead to; see `_search`.

    A rule that fails is left out from then on, which the report says: it costs no more than what
    it would have found.
    """
    while True:
        try:
            return _search_well(run, equalities, rules, pricing, frozen)
        except RuleApplicationError as error:
            if all(rule.name != error.rule for rule in rules):
                raise
            run.report.warnings.append(f"{error} The search went on without this rule.")
            logger.warning("rule %s failed", error.rule, exc_info=True)
            rules = [rule for rule in rules if rule.name != error.rule]


def _search_well(
    run: Run,
    equalities: Equalities,
    rules: Sequence[Rule],
    pricing: Pricing,
    frozen: frozenset[int],
) -> Found:
    """The best program of one search, or of two.

    Small programs are searched twice. A round begins with one program, and what lies behind the
    second best is not seen: with choices that share nothing, a sum that is read twice is written
    out twice, and the next round finds that both parts fuse with their readers. What is dearer by
    prediction may be the faster program: a race decides.
    """
    is_greedy = run.options.extraction == "greedy"
    is_once = is_greedy or len(equalities.graph.nodes) > _SEARCHED_TWICE
    kept: Kept | None = None if is_once else {}
    found = _search(run, equalities, rules, pricing, frozen, is_greedy, kept)
    if is_once or run.remaining_s < _LEAST_SHARE_FOR_SECOND * run.budget_s:
        return found
    other = _search(run, equalities, rules, pricing, frozen, True, kept)
    best, second = sorted((found, other), key=lambda each: each.best_us)
    return replace(best, other=second)


def _search(
    run: Run,
    equalities: Equalities,
    rules: Sequence[Rule],
    pricing: Pricing,
    frozen: frozenset[int],
    is_greedy: bool,
    kept: Kept | None = None,
) -> Found:
    """Saturate, price and extract in rounds, each beginning with the best program so far.

    In the first round slices alone move, as far as they get; it counts where that is a gain over
    what the proposals gain (25 shifts of a padded image took its padding apart 25 times because a
    loop beside them was unrolled), and is never the last one. A few iterations from a good program
    reach further than many from the original one, whose e-graph would grow beyond any limit on the
    way. `frozen` are the numbers of the parameters whose values are fixed before the program runs.
    In `kept` are the e-graphs that another search began rounds with; those of this one come to it.
    """
    graph = equalities.graph
    rounds: list[tuple[Extracted, float]] = []
    applied: Counter[str] = Counter()
    usual: frozenset[Hashable] = frozenset()
    first: tuple[Formulation, Selection] | None = None
    reached: float | None = None  # µs, by the round before
    folding, narrowing = (
        [rule for rule in rules if rule.name.startswith(names)] for names in (_FOLDING, _NARROWING)
    )
    passes = [narrowing, *[rules] * run.options.limits.rounds]
    while True:
        pricing.price_regions(equalities.nodes)
        with run.stage("saturate") as notes:
            key = graph, passes[0] is narrowing
            grown = None if kept is None else kept.get(key)
            if grown is None:
                grown = grow(run, graph, equalities, frozen, folding, passes, narrowing)
                if kept is not None and not grown.is_cut_short:
                    kept[key] = grown
            represented, saturation = grown.represented, grown.saturation
            for _ in range(grown.passes):
                chosen = passes.pop(0)
            notes |= {
                "nodes": saturation.nodes,
                "classes": saturation.classes,
                "stopped by": saturation.stop_reason.value,
            }
        formulation, original, best = price(run, represented, pricing, is_greedy)
        after = selected_us(formulation.problem, best)
        if reached is None or after > (1 + LEAST_PROGRESS) * reached:
            # Alone: in an e-graph its values may be one with cheaper ones, as in exp(log x) = x.
            before = pricing.predict_us(graph, frozen)
        else:
            before = reached
        rounds.append((read_program(formulation, original), before))
        if not usual:
            signatures = formulation.problem.signatures or ()
            usual = frozenset(signatures[node] for node in original.values())
        found = Found(formulation, best, tuple(rounds), Counter(applied), usual, first)
        if chosen is narrowing and after <= (1 - LEAST_PROGRESS) * before:
            before = min(
                before, _proposed_us(run, graph, equalities, folding, frozen, pricing, is_greedy)
            )
        is_better = after <= (1 - LEAST_PROGRESS) * before
        is_last = chosen is not narrowing and (run.is_late or not is_better)
        if is_last or not passes:
            return found
        if not is_better:
            rounds.pop()
            continue
        first, reached = first or (formulation, best), after
        extracted = read_program(formulation, best)
        applied += rules_of(formulation, extracted)
        graph = extracted.graph
        equalities = equalities_of(run, graph, rules, pricing)


def _proposed_us(
    run: Run,
    graph: Graph,
    equalities: Equalities,
    folding: Sequence[Rule],
    frozen: frozenset[int],
    pricing: Pricing,
    is_greedy: bool,
) -> float:
    """Predicted time of the best program by proposals and constants alone."""
    represented = represent(graph, equalities, frozen, numerics_of(run.options))
    limits = replace(limits_of(run, graph), iteration_limit=len(graph.nodes))
    unless_interrupted(saturate(represented.egraph, folding, limits))
    formulation, _, best = price(run, represented, pricing, is_greedy)
    return selected_us(formulation.problem, best)


def price(
    run: Run, represented: Represented, pricing: Pricing, is_greedy: bool
) -> tuple[Formulation, Selection, Selection]:
    """Price an e-graph lazily and extract: only what a cheapest program would run is measured.

    What comes out are the priced e-graph, the original in it and the best program. Predictions are
    optimistic, so an alternative that could win is chosen, measured, and stays chosen only if it is
    as good as it seemed; until the choice holds nothing unmeasured.
    """
    pricing.counts.clear()
    with run.stage("price") as notes:
        formulation = pricing.formulated(represented)
        pricing.counts["known"] = pricing.recall(formulation.kernels.values())
        # What a loop costs is predicted badly, and there are few of them: all are measured.
        loops = [kernel for kernel in formulation.kernels.values() if kernel.op == WHILE]
        if pricing.complete(loops) or pricing.counts["known"]:
            formulation = formulation.repriced(pricing.model)
        initial = formulation.original()
        best, care = initial, _Care.LEAST
        tried: list[Selection] = []
        for _ in range(_PRICING_ROUNDS):
            best = _extract_quickly(run, formulation, _Care.LEAST if is_greedy else care, best)
            is_new = pricing.complete(formulation.used_kernels([initial, best]))
            if is_new:
                formulation = formulation.repriced(pricing.model)
            else:
                tried.append(best)
                before = formulation
                formulation = pricing.charged(before, best)
                is_new = is_telling(before, formulation, best)
            if not is_new and (care is _Care.MOST or run.is_late):
                break
            care = _Care.LEAST if is_new or run.is_late else _Care(care + 1)
        is_settled = care is _Care.MOST and not is_new and not pricing.is_out_of_time
        if not is_settled:
            best, formulation = _extract_cautiously(run, formulation, pricing, is_greedy)
        formulation, original, best = _charged_alone(pricing, formulation, [best, *tried])
        notes |= pricing.counts
        notes["predicted_us"] = selected_us(formulation.problem, best)
    return formulation, original, best


def _charged_alone(
    pricing: Pricing, formulation: Formulation, selections: Sequence[Selection]
) -> tuple[Formulation, Selection, Selection]:
    """The original and the cheapest of it and `selections`, at what each is charged by itself.

    While choices are made, a charge stays with the e-nodes of a program that was left for it, even
    if others compute them once: sums of shifted images that XLA would not vectorise cost eight
    times as much, and so did, then, the original.
    """
    original = formulation.uncharged.original()
    distinct = {frozenset(each.items()): each for each in (*selections, original)}.values()
    alone = [(pricing.charged_alone(formulation, each), each) for each in distinct]
    charged, best = min(alone, key=lambda each: selected_us(each[0].problem, each[1]))
    own = next(each for each in alone if each[1] == original)
    formulation = formulation.with_costs_of(*own).with_costs_of(charged, best)
    return formulation, original, best


def _extract_cautiously(
    run: Run, formulation: Formulation, pricing: Pricing, is_greedy: bool
) -> tuple[Selection, Formulation]:
    """A good selection in which what nobody has measured wins by far, and the prices it has.

    Where there is time, later rounds are free to try it.
    """
    usual = pricing.model.caution
    pricing.model.caution = _CAUTION
    formulation = formulation.repriced(pricing.model)
    if not pricing.is_out_of_time:
        pricing.model.caution = usual
    care = _Care.LEAST if is_greedy else _Care.MORE
    best = _extract_quickly(run, formulation, care)
    dearer = pricing.charged(formulation, best)
    if is_telling(formulation, dearer, best):
        best = _extract_quickly(run, dearer, care, best)
    return best, dearer


def is_telling(before: Formulation, charged: Formulation, best: Selection) -> bool:
    """Whether a charge is reason to choose again: no other choice gains more than it came to.

    What is charged makes nothing cheaper. Of the charges of a decoding step most were a hundredth
    of a per cent, and each had all extracted anew.
    """
    most_us = (1 + CLOSE_ENOUGH) * selected_us(before.problem, best)
    return selected_us(charged.problem, best) > most_us


def _extract_quickly(
    run: Run, formulation: Formulation, care: _Care, before: Selection | None = None
) -> Selection:
    """A good selection within a second; where most care is taken, from the one with less."""
    problem = formulation.problem
    if care is _Care.LEAST:
        return tree_greedy(problem)
    seconds = max(run.options.limits.sharing_s, run.share_s(_EXTRACTION_SHARE))
    if care is _Care.MORE:
        return sharing_greedy(problem, time_limit_s=seconds, initial=dag_greedy(problem))
    extraction = unless_interrupted(
        extract(
            problem,
            time_limit_s=seconds,
            initial=before,
            close_enough=CLOSE_ENOUGH,
            seed=run.options.seed,
        )
    )
    return extraction.selections[0]


def equalities_of(run: Run, graph: Graph, rules: Sequence[Rule], pricing: Pricing) -> Equalities:
    """What the proposals say about a program, the bodies of its loops and branches included."""
    standing = pricing.standing
    equalities = propose(graph, numerics_of(run.options), standing.inner)
    if standing.owners:
        equalities.keep_apart(standing.owners)
    warnings = run.report.warnings
    warnings += [failure for failure in equalities.failures if failure not in warnings]
    propose_regions(run, equalities, rules, pricing)
    return equalities


def propose_regions(
    run: Run, equalities: Equalities, rules: Sequence[Rule], pricing: Pricing
) -> None:
    """Propose loops and branches with optimised bodies; the price model learns both prices.

    A branch that the examples are known not to take stays as it is: it would be neither timed nor
    checked, and may be dearer to search than all the rest, as one that rebuilds a table is.
    """
    for index in (*range(len(equalities.graph.nodes)), *equalities.promising):
        node = equalities.nodes[index]
        generic = generic_of(node)
        if node.op not in CONTROL_FLOW or generic is None:
            continue
        taken = pricing.model.taken.get(generic.regions, usual_region(generic))
        bodies = tuple(
            _optimized_region(run, region, rules, pricing) if taken in (None, place) else region
            for place, region in enumerate(generic.regions)
        )
        if bodies != generic.regions:
            if generic.regions in pricing.model.taken:
                pricing.model.taken[bodies] = pricing.model.taken[generic.regions]
            rules_inside = Counter[str]()
            for body in bodies:
                rules_inside += pricing.body_rules.get(body, Counter())
            equalities.reason = _OptimizedBodies(index, rules_inside)
            operands = [equalities.value(operand) for operand in node.operands]
            attributes: tuple[Generic] = (generic._replace(regions=bodies),)
            equalities.equate(
                index, equalities.builder.generic(node.op, attributes, operands, node.type)
            )


def _optimized_region(run: Run, region: Graph, rules: Sequence[Rule], pricing: Pricing) -> Graph:
    """The body of a loop or branch, optimised by prediction; each is searched once."""
    known = pricing.bodies.get(region)
    if known is not None:
        return known
    if len(region.nodes) < 2 or run.is_late:
        return region
    with pricing.model.in_region():
        equalities = equalities_of(run, region, rules, pricing)
        found = search(run, equalities, rules, pricing)
    pricing.model.region_us[region] = found.original_us
    pricing.bodies[region] = region
    if found.best_us >= found.original_us:
        return region
    extracted = read_program(found.formulation, found.best)
    graph = extracted.graph
    pricing.body_rules[graph] = found.rules + rules_of(found.formulation, extracted)
    pricing.model.region_us[graph] = found.best_us
    pricing.bodies[region] = pricing.bodies[graph] = graph
    return graph


class _OptimizedBodies(str):
    """The reason why a loop or branch equals one with optimised bodies: by which rules they are.

    As text it differs from that of another node, since reasons are counted by their text.
    """

    rules: Counter[str]

    def __new__(cls, node: int, rules: Counter[str]) -> _OptimizedBodies:
        reason = super().__new__(cls, f"optimize_region {node}")
        reason.rules = rules
        return reason


def rules_of(formulation: Formulation, extracted: Extracted) -> Counter[str]:
    """The rules by which an extracted program follows from the original, with their counts.

    Those of the bodies of its loops and branches are marked so, and count once a body.
    """
    represented = formulation.represented
    wanted = represented.graph.effects + represented.graph.outputs
    used = rules_between(
        represented.egraph,
        represented.enodes,
        extracted.enodes,
        [represented.enodes[index] for index in wanted],
    )
    rules = Counter[str]()
    for reason, count in used.items():
        if not isinstance(reason, _OptimizedBodies):
            rules[reason] += count
            continue
        rules["optimize_region"] += count
        for rule, times in reason.rules.items():
            rules[rule if rule.endswith(IN_BODY) else rule + IN_BODY] += times
    return rules
