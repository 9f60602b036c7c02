"""The stages in order: propose → saturate → price → extract → precompute → verify → select.

This module alone knows the order. Whatever fails, the result is a program that works: the
original, with the reason in the report.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from saturax.contest import Candidate, Contest
from saturax.cost.database import PriceDatabase
from saturax.cost.device import identify, load_or_calibrate
from saturax.cost.formulate import read_program
from saturax.cost.model import PriceModel
from saturax.errors import SaturaxError
from saturax.extract import Extraction, extract
from saturax.graph.ir import Graph, Program
from saturax.inputs import Array
from saturax.options import NUMERICS, Options
from saturax.pricing import Pricing
from saturax.proposals import propose
from saturax.refine import MeasuredSearch
from saturax.report.model import Report
from saturax.rules import rules_within
from saturax.rules.rule import Numerics, Rule
from saturax.run import OnProgress, Run
from saturax.search import Found, propose_regions, rules_of, search
from saturax.stablehlo import emit_module, to_text
from saturax.versions import versions

logger = logging.getLogger("saturax")

_ELEMENTWISE = ("unary", "binary", "ternary")
_EXTRACTION_SHARE, _LONGEST_EXTRACTION_S = 0.1, 8.0
_CONFIRMATION_S, _LONGEST_CALIBRATION_S = 4.0, 30.0
# Candidates are compiled and checked until this share of the time for selection is left.
_ENTRY_SHARE = 0.5


@dataclass(frozen=True)
class Optimized:
    """The chosen program (the original, where nothing better was found) and what was done."""

    program: Program
    report: Report

    def to_stablehlo(self) -> str:
        """The program as StableHLO text, which any XLA front end takes."""
        return to_text(emit_module(self.program))


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
    report = Report(
        program.module_name or program.name, versions=versions(), options=_plain_options(options)
    )
    run = Run(options, report, on_progress)
    report.operations_before = report.operations_after = program.graph.size()
    reason = _unsuitable(program, options)
    if reason:
        report.reason = reason
        return Optimized(program, report)
    try:
        _optimize(run, program, examples)
    except KeyboardInterrupt:
        report.warnings.append("interrupted: this is the best program found until then")
        report.reason = report.reason or "it was interrupted"
    except SaturaxError as error:
        report.warnings.append(str(error))
        report.reason = report.reason or f"a stage failed: {error}"
    except Exception as error:  # a defect of ours must not stop the user's program
        logger.exception("optimising %s failed", program.name)
        report.warnings.append(f"internal error, please report it: {error!r}")
        report.reason = report.reason or f"internal error: {error!r}"
    if run.best is None:
        report.outcome, report.rules, report.changes = "original", {}, []
        report.reason = report.reason or _why_kept(report)
        return Optimized(program, report)
    return Optimized(run.best, report)


def _why_kept(report: Report) -> str:
    """Why none of the programs that were tried was taken."""
    rejected = [c for c in report.candidates if c.outcome in ("rejected", "failed")]
    if report.candidates and len(rejected) == len(report.candidates):
        return f"no candidate passed the check ({len(rejected)} tried): {rejected[0].reason}"
    return "no candidate was faster than the original"


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


def _optimize(run: Run, program: Program, examples: Sequence[Array] | None) -> None:
    device = identify()
    run.report.device = device.key
    with closing(PriceDatabase(run.options.database)) as database:
        with run.stage("calibrate") as notes:
            # Once per device: the time limit begins after it.
            limit_s = _LONGEST_CALIBRATION_S if run.options.measure else 0.0
            calibration = load_or_calibrate(database, time_limit_s=limit_s)
            notes["measured"] = calibration.measured_at
        run.restart_clock()
        pricing = Pricing(run, device, database, PriceModel(calibration))
        rules = active_rules(run.options)
        equalities = propose(program.graph)
        propose_regions(run, equalities, rules, pricing)
        found = search(run, equalities, rules, pricing)
    run.report.predicted_original_us = found.original_us
    if run.options.measure:
        _select_by_measuring(run, program, examples, found)
    else:
        _select_by_prediction(run, program, found)


def active_rules(options: Options) -> tuple[Rule, ...]:
    """The rules that the options admit."""
    admitted = rules_within(Numerics(NUMERICS.index(options.numerics)))
    families = options.rules
    return tuple(r for r in admitted if families is None or r.family in families)


def _select_by_prediction(run: Run, program: Program, found: Found) -> None:
    """Take the program with the lowest predicted time, unmeasured and unchecked."""
    run.report.predicted_optimized_us = found.best_us
    if found.best_us >= found.original_us:
        return
    run.report.warnings.append("chosen by prediction: nothing was run, measured or checked")
    extracted = read_program(found.formulation, found.best)
    rules = found.rules + rules_of(found.formulation, extracted)
    _accept(run, program, program.with_graph(extracted.graph), rules)


def _select_by_measuring(
    run: Run,
    program: Program,
    examples: Sequence[Array] | None,
    found: Found,
) -> None:
    """Compile, check and time candidates; then vary the best one, kernel by kernel."""
    extraction = _extract_varied(run, found)
    with run.stage("prepare") as notes:
        contest = Contest(
            program,
            examples,
            run.options.verify,
            run.options.numerics == "bitwise",
            run.options.seed,
            run.exclude_compilation,
        )
        notes["inputs"] = len(contest.samples)
    if run.options.verify and not contest.samples:
        run.report.reason = "no inputs were found on which its outputs are finite and vary"
        return
    measured = MeasuredSearch(
        found.formulation,
        contest,
        found.rules,
        found.usual,
        run.report.candidates,
        lambda: run.remaining_s,
        lambda detail: run.on_progress("select", detail),
    )
    try:
        with run.stage("select") as notes:
            until_s = _ENTRY_SHARE * run.remaining_s
            for enter in _entries(measured, extraction, found):
                if run.remaining_s < until_s and measured.entries:
                    break
                enter()
            measured.race()
            notes["candidates"] = len(run.report.candidates)
        with run.stage("refine") as notes:
            notes["tried"] = measured.refine()
    finally:
        if measured.champion is not None:
            _confirm(run, program, contest, measured.champion.candidate)


def _entries(
    measured: MeasuredSearch, extraction: Extraction, found: Found
) -> Iterator[Callable[[], object]]:
    """Ways to enter candidates, those first that tell most: the best, its ancestors, its kin."""
    best, *varied = extraction.selections
    yield partial(measured.enter, "best predicted", best)
    for number, (extracted, predicted_us) in enumerate(found.rounds[1:], 1):
        yield partial(measured.enter_program, f"after round {number}", extracted, predicted_us)
    for number, selection in enumerate(varied, 1):
        yield partial(measured.enter, f"varied {number}", selection)


def _extract_varied(run: Run, found: Found) -> Extraction:
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


def _confirm(run: Run, program: Program, contest: Contest, champion: Candidate) -> None:
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


def _accept(run: Run, program: Program, chosen: Program, rules: Counter[str]) -> None:
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
        _function_text(node.attributes[0]) if node.op in _ELEMENTWISE else node.op
        for node in graph.nodes
        if node.op not in ("parameter", "get_result")
    )
    for _, region in graph.regions():
        counts += operation_counts(region)
    return counts


def _function_text(f: Any) -> str:
    return f if isinstance(f, str) else " ".join(map(str, f))


def _plain_options(options: Options) -> dict[str, Any]:
    return {name: value if value is None else str(value) for name, value in asdict(options).items()}
