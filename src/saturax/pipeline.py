"""The stages in order: propose → saturate → price → extract → precompute → verify → select.

This module alone knows the order. Whatever fails, the result is a program that works: the
original, with the reason in the report.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from saturax.contest import Candidate, Contest
from saturax.cost.database import Price, PriceDatabase
from saturax.cost.device import DeviceIdentity, identify, load_or_calibrate
from saturax.cost.formulate import Extracted, Formulation, formulate, read_program
from saturax.cost.kernel import CONTROL_FLOW, Kernel
from saturax.cost.measure import ModuleToMeasure, measure_modules
from saturax.cost.model import PriceModel
from saturax.egraph import Limits, saturate
from saturax.errors import SaturaxError
from saturax.extract import (
    Extraction,
    Selection,
    dag_cost,
    dag_greedy,
    extract,
    sharing_greedy,
    tree_greedy,
)
from saturax.graph.ir import Graph, Program
from saturax.graph.ops import Generic, generic_of
from saturax.inputs import Array
from saturax.options import NUMERICS, Options
from saturax.proposals import propose
from saturax.proposals.equality import Equalities
from saturax.refine import MeasuredSearch, rules_of
from saturax.report.model import Report, StageReport
from saturax.represent import Represented, represent
from saturax.rules import rules_within
from saturax.rules.rule import Numerics, Rule
from saturax.stablehlo import emit_module, to_bytecode
from saturax.versions import versions

logger = logging.getLogger("saturax")

OnProgress = Callable[[str, str], None]
"""Called with a stage's name and a detail whenever there is something new to show."""

# Shares of the time limit. What a stage leaves over goes to the stages after it.
_SATURATION_SHARE, _PRICE_SHARE, _EXTRACTION_SHARE = 0.1, 0.3, 0.1
_LONGEST_SATURATION_S, _LONGEST_EXTRACTION_S = 4.0, 8.0
_CONFIRMATION_S = 4.0
# Compiling candidates may take this share of the time limit on top of it.
_COMPILATION_ALLOWANCE = 0.5
_LONGEST_CALIBRATION_S = 30.0
_PRICING_ROUNDS = 12
_SHARING_S = 1.0
# Rounds of search: how many, and the least gain and time for which another one is begun.
_SEARCH_ROUNDS, _LEAST_PROGRESS, _SEARCH_SHARE = 4, 0.01, 0.4
_ITERATIONS, _NODES, _NODES_PER_OPERATION = 3, 3_000, 6
# Index operands without known values: small enough to be in bounds of almost anything.
_INDEX_RANGE = (0, 2)


@dataclass(frozen=True)
class Optimized:
    """The chosen program (the original, where nothing better was found) and what was done."""

    program: Program
    report: Report


@dataclass
class _Run:
    """State of one optimisation: its clock, its report and its prices."""

    options: Options
    report: Report
    on_progress: OnProgress
    started: float = field(default_factory=time.monotonic)
    excluded_s: float = 0.0
    best: Program | None = None

    @property
    def remaining_s(self) -> float:
        """Seconds left of the limit, XLA's compilations not counted."""
        spent = time.monotonic() - self.started - self.excluded_s
        return max(0.0, self.options.time_limit_s - spent)

    @property
    def is_late(self) -> bool:
        """Whether the time set aside for searching by prediction is over."""
        return self.remaining_s < (1 - _SEARCH_SHARE) * self.options.time_limit_s

    def time_left_for(self, contest: Contest, prepared_s: float) -> Callable[[], float]:
        """Seconds left while candidates compile: compiling is free, but not without end."""
        limit_s = self.options.time_limit_s

        def left() -> float:
            compiled_s = min(contest.compile_s - prepared_s, _COMPILATION_ALLOWANCE * limit_s)
            spent_s = time.monotonic() - self.started - self.excluded_s
            return max(0.0, limit_s + compiled_s - spent_s)

        return left

    def share_s(self, share: float) -> float:
        """Seconds that a stage may take: a share of the limit, no more than what is left."""
        return min(share * self.options.time_limit_s, self.remaining_s)

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage; what it notes goes into the report."""
        self.on_progress(name, "")
        notes: dict[str, Any] = {}
        start = time.monotonic()
        try:
            yield notes
        finally:
            self.report.stages.append(StageReport(name, time.monotonic() - start, notes))


def optimize_program(
    program: Program,
    options: Options | None = None,
    examples: Sequence[Array] | None = None,
    on_progress: OnProgress = lambda stage, detail: None,
) -> Optimized:
    """Find the fastest program equal to `program` on this device.

    `examples` are inputs that the program will really see; without them inputs are drawn. Never
    raises for what a stage could not do: the report then says why the original was kept.
    """
    options = Options() if options is None else options
    report = Report(program.module_name, versions=versions(), options=_plain_options(options))
    run = _Run(options, report, on_progress)
    report.operations_before = report.operations_after = program.graph.size()
    reason = _unsuitable(program, options)
    if reason:
        report.reason = reason
        return Optimized(program, report)
    try:
        _optimize(run, program, examples)
    except KeyboardInterrupt:
        report.warnings.append("interrupted: this is the best program found until then")
    except SaturaxError as error:
        report.warnings.append(str(error))
        report.reason = report.reason or f"a stage failed: {error}"
    except Exception as error:  # a defect of ours must not stop the user's program
        logger.exception("optimising %s failed", program.name)
        report.warnings.append(f"internal error, please report it: {error!r}")
        report.reason = report.reason or f"internal error: {error!r}"
    if run.best is None:
        report.outcome, report.rules, report.changes = "original", {}, []
        report.reason = report.reason or "no candidate was faster than the original"
        return Optimized(program, report)
    return Optimized(run.best, report)


def _unsuitable(program: Program, options: Options) -> str:
    """Why a program is not optimised at all; empty if it is."""
    if options.time_limit_s == 0:
        return "the time limit is 0"
    if program.graph.effects and options.measure:
        return "it has side effects, so it cannot be run for checking and timing"
    partitions = dict(program.module_attributes).get("mhlo.num_partitions", "1 : i32")
    if int(partitions.split(":")[0]) > 1 and options.measure:
        return "it runs on several devices, where saturax does not measure yet"
    return ""


def _optimize(run: _Run, program: Program, examples: Sequence[Array] | None) -> None:
    device = identify()
    run.report.device = device.key
    database = PriceDatabase(run.options.database)
    with run.stage("calibrate") as notes:
        limit_s = min(_LONGEST_CALIBRATION_S, run.remaining_s) if run.options.measure else 0.0
        calibration = load_or_calibrate(database, time_limit_s=limit_s)
        notes["measured"] = calibration.measured_at
    model = PriceModel(calibration)
    rules = active_rules(run.options)
    pricing = _Pricing(run, device, database, model)
    equalities = propose(program.graph)
    _optimize_regions(run, equalities, rules, pricing)
    found = _search(run, equalities, rules, pricing)
    run.report.predicted_original_us = found.original_us
    if run.options.measure:
        _select_by_measuring(run, program, examples, found, pricing)
    else:
        _select_by_prediction(run, program, found)


def active_rules(options: Options) -> tuple[Rule, ...]:
    """The rules that the options admit."""
    admitted = rules_within(Numerics(NUMERICS.index(options.numerics)))
    families = options.rules
    return tuple(r for r in admitted if families is None or r.family in families)


@dataclass
class _Pricing:
    """Fills the price model from the database, measuring what is missing."""

    run: _Run
    device: DeviceIdentity
    database: PriceDatabase
    model: PriceModel

    counts: Counter[str] = field(default_factory=Counter)

    spent_s: float = 0.0

    def complete(self, kernels: Sequence[Kernel]) -> bool:
        """Look up or measure the prices of `kernels`; return whether any price is new."""
        wanted = self.model.unmeasured(kernels)
        known = self.database.get_many(self.device.key, [kernel.key for kernel in wanted])
        self.model.measured.update({key: price.time_us for key, price in known.items()})
        missing = [kernel for kernel in wanted if kernel.key not in known]
        measured = 0
        left_s = min(_PRICE_SHARE * self.run.options.time_limit_s - self.spent_s, self.run.remaining_s)
        if missing and self.run.options.measure and left_s > 0:
            started = time.monotonic()
            measured = self._measure(missing, left_s)
            self.spent_s += time.monotonic() - started
        self.counts.update(
            {"known": len(known), "measured": measured, "predicted": len(missing) - measured}
        )
        return bool(known) or measured > 0

    def _measure(self, kernels: list[Kernel], time_limit_s: float) -> int:
        self.run.on_progress("price", f"measuring {len(kernels)} operations")
        results = measure_modules(list(map(_module_of, kernels)), time_budget_s=time_limit_s)
        found: dict[str, Price] = {}
        for kernel, result in zip(kernels, results, strict=True):
            if result is None:
                continue
            if result.error is None:
                found[kernel.key] = Price(result.time_us, result.spread, result.repetitions)
            else:
                self.model.failed.add(kernel.key)
        self.model.measured.update({key: price.time_us for key, price in found.items()})
        self.database.put_many(self.device.key, found)
        return len(found)


def _module_of(kernel: Kernel) -> ModuleToMeasure:
    integers = {
        index: _INDEX_RANGE
        for index, type in enumerate(kernel.operands)
        if index > 0 and str(type).rpartition("x")[2].startswith(("i", "ui"))
    }
    return ModuleToMeasure(to_bytecode(emit_module(Program(kernel.graph))), integers)


@dataclass(frozen=True)
class _Found:
    """Outcome of a search: the last e-graph as an extraction problem, and how it was reached.

    `rounds` are the programs that the rounds of the search began with (the original first), with
    their predicted times; `rules` lead from the original to the last of them. `usual` are the
    kernels that the original runs.
    """

    formulation: Formulation
    best: Selection
    rounds: tuple[tuple[Extracted, float], ...]
    rules: Counter[str]
    usual: frozenset[Hashable]

    @property
    def original_us(self) -> float:
        """Predicted time of the original."""
        return self.rounds[0][1]

    @property
    def best_us(self) -> float:
        """Predicted time of the best program."""
        return dag_cost(self.formulation.problem, self.best)


def _search(
    run: _Run, equalities: Equalities, rules: Sequence[Rule], pricing: _Pricing
) -> _Found:
    """Saturate, price and extract in rounds, each beginning with the best program so far.

    A few iterations from a good program reach further than many from the original one, whose
    e-graph would grow beyond any limit on the way.
    """
    graph = equalities.graph
    rounds: list[tuple[Extracted, float]] = []
    applied: Counter[str] = Counter()
    usual: frozenset[Hashable] = frozenset()
    while True:
        with run.stage("saturate") as notes:
            represented = represent(graph, equalities)
            limits = _limits(run, graph)
            saturation = saturate(represented.egraph, rules, limits)
            notes |= {
                "nodes": saturation.nodes,
                "classes": saturation.classes,
                "stopped by": saturation.stop_reason.value,
            }
        formulation, best = _priced(run, represented, pricing)
        original = formulation.original()
        before, after = (dag_cost(formulation.problem, s) for s in (original, best))
        rounds.append((read_program(formulation, original), before))
        if not usual:
            signatures = formulation.problem.signatures or ()
            usual = frozenset(signatures[node] for node in original.values())
        found = _Found(formulation, best, tuple(rounds), Counter(applied), usual)
        is_done = after > (1 - _LEAST_PROGRESS) * before or len(rounds) >= _SEARCH_ROUNDS
        if is_done or run.is_late:
            return found
        extracted = read_program(formulation, best)
        applied += rules_of(formulation, extracted)
        graph = extracted.graph
        equalities = propose(graph)


def _limits(run: _Run, graph: Graph) -> Limits:
    """Limits of one saturation: a few iterations, a size in proportion to the program's."""
    return Limits(
        time_limit_s=min(_LONGEST_SATURATION_S, run.share_s(_SATURATION_SHARE)),
        node_limit=min(run.options.node_limit, _NODES + _NODES_PER_OPERATION * len(graph.nodes)),
        iteration_limit=_ITERATIONS,
    )


def _priced(
    run: _Run, represented: Represented, pricing: _Pricing
) -> tuple[Formulation, Selection]:
    """Price an e-graph lazily and extract: only what a cheapest program would run is measured.

    Predictions are optimistic, so an alternative that could win is chosen, measured, and stays
    chosen only if it is as good as it seemed; until the choice holds nothing unmeasured.
    """
    pricing.counts.clear()
    with run.stage("price") as notes:
        formulation = formulate(represented, pricing.model)
        initial = formulation.original()
        thoroughly = False
        for _ in range(_PRICING_ROUNDS):
            best = _extract_quickly(formulation, thoroughly)
            is_new = pricing.complete(formulation.used_kernels([initial, best]))
            if is_new:
                formulation = formulate(represented, pricing.model)
            elif thoroughly or run.is_late:
                break
            thoroughly = not is_new and not run.is_late
        if not thoroughly:
            best = _extract_quickly(formulation, True)
        original = formulation.original()
        best = min(best, original, key=lambda s: dag_cost(formulation.problem, s))
        notes |= pricing.counts
        notes["predicted_us"] = dag_cost(formulation.problem, best)
    return formulation, best


def _extract_quickly(formulation: Formulation, thoroughly: bool) -> Selection:
    """A good selection within a second or two."""
    problem = formulation.problem
    if not thoroughly:
        return tree_greedy(problem)
    return sharing_greedy(problem, time_limit_s=_SHARING_S, initial=dag_greedy(problem))


def _optimize_regions(
    run: _Run, equalities: Equalities, rules: Sequence[Rule], pricing: _Pricing
) -> None:
    """Propose loops and branches with optimised bodies; the price model learns both prices."""
    for index, node in enumerate(equalities.graph.nodes):
        generic = generic_of(node)
        if node.op not in CONTROL_FLOW or generic is None:
            continue
        bodies = tuple(
            _optimized_region(run, region, rules, pricing) for region in generic.regions
        )
        if bodies != generic.regions:
            equalities.reason = "optimize_region"
            operands = [equalities.value(operand) for operand in node.operands]
            attributes: tuple[Generic] = (generic._replace(regions=bodies),)
            equalities.equate(
                index, equalities.builder.generic(node.op, attributes, operands, node.type)
            )


def _optimized_region(
    run: _Run, region: Graph, rules: Sequence[Rule], pricing: _Pricing
) -> Graph:
    """The body of a loop or branch, optimised by prediction."""
    if len(region.nodes) < 2 or run.remaining_s == 0:
        return region
    equalities = propose(region)
    _optimize_regions(run, equalities, rules, pricing)
    found = _search(run, equalities, rules, pricing)
    pricing.model.region_us[region] = found.original_us
    if found.best_us >= found.original_us:
        return region
    graph = read_program(found.formulation, found.best).graph
    pricing.model.region_us[graph] = found.best_us
    return graph


def _select_by_prediction(run: _Run, program: Program, found: _Found) -> None:
    """Take the program with the lowest predicted time, unmeasured and unchecked."""
    run.report.predicted_optimized_us = found.best_us
    if found.best_us >= found.original_us:
        return
    run.report.warnings.append("chosen by prediction: nothing was run, measured or checked")
    extracted = read_program(found.formulation, found.best)
    rules = found.rules + rules_of(found.formulation, extracted)
    _accept(run, program, program.with_graph(extracted.graph), rules)


def _select_by_measuring(
    run: _Run,
    program: Program,
    examples: Sequence[Array] | None,
    found: _Found,
    pricing: _Pricing,
) -> None:
    """Compile, check and time candidates; then vary the best one, kernel by kernel."""
    extraction = _extract_varied(run, found, pricing)
    with run.stage("prepare") as notes:
        contest = Contest(
            program,
            examples,
            run.options.verify,
            run.options.numerics == "bitwise",
            run.options.seed,
        )
        prepared_s = contest.compile_s
        run.excluded_s += prepared_s
        notes |= {"inputs": len(contest.samples), "compiling_s": prepared_s}
    if run.options.verify and not contest.samples:
        run.report.reason = "no inputs were found on which its outputs are finite and vary"
        return
    search = MeasuredSearch(
        found.formulation,
        contest,
        found.rules,
        found.usual,
        run.report.candidates,
        run.time_left_for(contest, prepared_s),
        lambda detail: run.on_progress("select", detail),
    )
    try:
        with run.stage("select") as notes:
            for number, selection in enumerate(extraction.selections):
                search.enter("best predicted" if number == 0 else f"varied {number}", selection)
            for number, (extracted, predicted_us) in enumerate(found.rounds[1:], 1):
                search.enter_program(f"after round {number}", extracted, predicted_us)
            search.race()
            notes["candidates"] = len(run.report.candidates)
        with run.stage("refine") as notes:
            notes["tried"] = search.refine()
    finally:
        if search.champion is not None:
            _confirm(run, program, contest, search.champion.candidate)


def _extract_varied(run: _Run, found: _Found, pricing: _Pricing) -> Extraction:
    """The best program by a thorough search, and others to measure beside it."""
    with run.stage("extract") as notes:
        extraction = extract(
            found.formulation.problem,
            time_limit_s=min(_LONGEST_EXTRACTION_S, run.share_s(_EXTRACTION_SHARE)),
            initial=found.best,
            count=run.options.candidates,
            seed=run.options.seed,
        )
        notes |= {"predicted_us": extraction.cost_us, "bound_us": extraction.lower_bound_us}
    return extraction


def _confirm(
    run: _Run, program: Program, contest: Contest, champion: Candidate
) -> None:
    """A last race between the champion and the original decides."""
    with run.stage("confirm"):
        result = contest.race([champion], _CONFIRMATION_S)
    entry, report = result.entries[0], champion.report
    report.time_us, report.ratio, report.interval = entry.time_us, entry.ratio, entry.interval
    run.report.original_us = result.original_us
    if result.winner is None:
        report.outcome, report.reason = "slower", entry.reason
        return
    report.outcome = "chosen"
    run.report.optimized_us, run.report.speedup = entry.time_us, entry.ratio
    run.report.predicted_optimized_us = report.predicted_us
    _accept(run, program, champion.program, Counter(report.rules))


def _accept(run: _Run, program: Program, chosen: Program, rules: Counter[str]) -> None:
    """Make `chosen` the result."""
    run.best = chosen
    run.report.outcome, run.report.rules = "optimized", dict(rules)
    run.report.operations_after = chosen.graph.size()
    before, after = operation_counts(program.graph), operation_counts(chosen.graph)
    changed = [(op, before[op], after[op]) for op in before | after if before[op] != after[op]]
    run.report.changes = sorted(changed, key=lambda row: (-abs(row[1] - row[2]), row[0]))


def operation_counts(graph: Graph) -> Counter[str]:
    """How many operations of each kind a graph has, regions included."""
    counts = Counter(
        str(node.attributes[0]) if node.op in ("unary", "binary", "ternary") else node.op
        for node in graph.nodes
        if node.op not in ("parameter", "get_result")
    )
    for _, region in graph.regions():
        counts += operation_counts(region)
    return counts


def _plain_options(options: Options) -> dict[str, Any]:
    return {name: value if value is None else str(value) for name, value in asdict(options).items()}
