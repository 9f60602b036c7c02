"""The stages in order: propose → saturate → price → extract → precompute → verify → select.

This module alone knows the order. Whatever fails, the result is a program that works: the
original, with the reason in the report.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NoReturn

import jax

from saturax.assembly.split import Split, bytes_before, split
from saturax.cache.entries import MOST_CUT_SHORT, Memory, Remembered, renamed
from saturax.checking.inputs import Array
from saturax.checking.isolate import outside_calls
from saturax.collector import collector_relieved
from saturax.cost.database import PriceDatabase
from saturax.cost.formulate import without_frozen
from saturax.cost.repetition import ITSELF
from saturax.errors import OptionsError, SaturaxError
from saturax.graph.ir import Graph, Program
from saturax.mlir_modules import ModuleSource
from saturax.options import NUMERICS, Options
from saturax.racing.contest import Contest
from saturax.racing.correction import correct_prices
from saturax.racing.selection import (
    confirm,
    contest_of,
    operation_counts,
    prepare,
    select_by_measuring,
    select_by_prediction,
)
from saturax.reasons import after_cut_short, is_conclusive, why_kept, why_unsuitable
from saturax.report.model import FrozenReport, Report, StageReport
from saturax.report.text import summary
from saturax.rules import rules_within
from saturax.rules.rule import Numerics, Rule
from saturax.run import OnProgress, Run
from saturax.search.device_prices import pricing_of
from saturax.search.exact import search_exactly
from saturax.search.growth import numerics_of
from saturax.search.kernels import compare_kernels
from saturax.search.outline import Outline, outline_of
from saturax.search.pricing import Pricing, branches_taken
from saturax.search.ranking import Ranking
from saturax.search.rounds import equalities_of, search
from saturax.search.varied import extract_varied
from saturax.stablehlo import emit_module, to_text
from saturax.versions import versions

logger = logging.getLogger("saturax")


@dataclass(frozen=True, repr=False)
class Optimized:
    """The chosen program (the original, where nothing better was found) and what was done.

    `report` says what became of it, in numbers and reasons. Nothing here is called:
    `to_stablehlo()` is the program for other tools, and `saturax.jit` makes a function of it.
    Where inputs were frozen, `program` is the main program of `split`. `is_interrupted` if Ctrl-C
    ended the search; `is_remembered` if the result is in the cache.
    """

    program: Program
    report: Report
    split: Split | None = None
    is_interrupted: bool = False
    is_remembered: bool = False

    def to_stablehlo(self) -> str:
        """The program as StableHLO text, which any XLA front end takes."""
        return to_text(emit_module(self.program))

    def __repr__(self) -> str:
        return f"<saturax.Optimized {summary(self.report)}; see .report and .to_stablehlo()>"

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Say what to call instead.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "saturax.optimize returns a program and its report, not a function; use "
            "saturax.jit(function), whose calls run the optimised program"
        )


def optimize_program(
    program: Program,
    options: Options | None = None,
    examples: Sequence[Array] | None = None,
    on_progress: OnProgress = lambda stage, detail: None,
    frozen: Sequence[int] | None = None,
    devices: Sequence[jax.Device] = (),
    compiler_options: Mapping[str, Any] | None = None,
    source: ModuleSource | None = None,
) -> Optimized:
    """Find the fastest program equal to `program` on this device.

    `examples` are inputs that the program will really see; without them inputs are drawn. `frozen`
    are the numbers of inputs whose values are fixed: what depends on them alone (and on constants)
    is computed beforehand. `devices` are those that it is partitioned for, or the one that it runs
    on; by default the first ones of the default backend. It will be compiled with the
    `compiler_options`, as are its candidates. `source` is the module that the program was read
    from: races time it as the original.
    Never raises for what a stage could not do: the report then says why the original was kept.
    """
    is_here = bool(devices) and devices[0].process_index == jax.process_index()
    where = jax.default_device(devices[0]) if is_here else nullcontext()
    # Single operations are measured on the default device. A guard of the caller's is about the
    # transfers of its own program.
    with where, jax.transfer_guard("allow"):
        settings = dict(compiler_options or {})
        return _optimized(
            program, options, examples, on_progress, frozen, devices, settings, source
        )


def _optimized(
    program: Program,
    options: Options | None,
    examples: Sequence[Array] | None,
    on_progress: OnProgress,
    frozen: Sequence[int] | None,
    devices: Sequence[jax.Device],
    compiler_options: dict[str, Any],
    source: ModuleSource | None,
) -> Optimized:
    """`optimize_program`, where the default device is the first of `devices`."""
    options = Options() if options is None else options
    report = Report(
        program.module_name or program.name, versions=versions(), options=_plain_options(options)
    )
    run = Run(options, report, on_progress, devices=tuple(devices) or _devices(program))
    run.compiler_options, run.source = compiler_options, source
    if frozen is not None:
        run.frozen = tuple(frozen)
        run.split = split(program, run.frozen)
    report.operations_before = report.operations_after = program.graph.size()
    reason = why_unsuitable(program, run)
    if reason:
        report.reason = reason
        return _result(run, program)
    start = time.monotonic()
    memory = Memory.of(program, options, run.frozen, run.devices, compiler_options)
    if memory is None:
        return _optimize_safely(run, program, examples)
    known = memory.find()
    if known is None or known.is_provisional:
        before = 0 if known is None else known.cut_short
        with memory.alone():
            found = memory.find()  # another process may have found it, or tried, meanwhile
            if found is None or (found.is_provisional and found.cut_short == before):
                run.older = memory.find_older()
                return _found_anew(run, program, examples, memory, before)
        known = found
    result = _recalled(run, program, known, time.monotonic() - start)
    return replace(result, is_remembered=not known.is_provisional)


def _found_anew(
    run: Run,
    program: Program,
    examples: Sequence[Array] | None,
    memory: Memory,
    cut_short: int,
) -> Optimized:
    """Optimise and remember; `cut_short` searches before this one had too little time."""
    result = _optimize_safely(run, program, examples)
    if run.is_cut_short:
        cut_short += 1
        run.report.reason += after_cut_short(cut_short)
        _keep(run, memory, cut_short)
        return replace(result, is_remembered=cut_short >= MOST_CUT_SHORT)
    is_kept = run.is_complete and _keep(run, memory)
    if is_kept and (found := memory.find()) is not None:
        # As later processes read it, so that JAX's compilation cache has it for them.
        _take(run, program, found)
        result = _result(run, program)
    return replace(result, is_remembered=is_kept)


def _keep(run: Run, memory: Memory, cut_short: int = 0) -> bool:
    """Remember what was found; a result is not lost because it cannot be stored."""
    try:
        memory.keep(run.best, run.split, run.report, cut_short)
    except Exception as error:  # an operation that has no portable form, say
        run.report.warnings.append(f"the result was not kept in the cache: {error}")
        return False
    return True


def _recalled(run: Run, program: Program, found: Remembered, seconds: float) -> Optimized:
    """What was found in the cache, with the report of its optimisation."""
    report = replace(found.report, program=run.report.program, stages=[])
    report.stages.append(StageReport("recall", seconds))
    run.report = report
    _take(run, program, found)
    return _result(run, program)


def _take(run: Run, program: Program, found: Remembered) -> None:
    """Let the result be what the cache holds."""
    run.best = None if found.program is None else renamed(found.program, program)
    if run.split is not None:
        run.split = found.split or replace(run.split, constants=found.constants)


@collector_relieved()
def _optimize_safely(run: Run, program: Program, examples: Sequence[Array] | None) -> Optimized:
    """Optimise; whatever fails is said in the report."""
    report = run.report
    try:
        if run.older is None or not _check_again(run, program, examples, run.older):
            _optimize(run, program, examples)
        if not run.is_interrupted:
            # A stage may have said why it went no further, such as that no inputs were found: other
            # examples may be there next time.
            is_open = bool(report.reason) or not is_conclusive(report, run.remaining_s)
            run.is_cut_short = run.best is None and is_open
            run.is_complete = not run.is_cut_short
    except KeyboardInterrupt:
        run.is_interrupted = True
    except OptionsError:
        raise
    except SaturaxError as error:
        report.warnings.append(str(error))
        report.reason = report.reason or f"a stage failed: {error}"
    except Exception as error:  # a defect of ours must not stop the user's program
        logger.exception("optimising %s failed", program.name)
        report.warnings.append(f"internal error, please report it: {error!r}")
        report.reason = report.reason or f"internal error: {error!r}"
    if run.is_interrupted:
        report.warnings.append("interrupted: this is the best program found until then")
        report.reason = report.reason or "it was interrupted"
    if run.best is None:
        report.outcome, report.rules, report.changes = "original", {}, []
        report.reason = report.reason or why_kept(run)
    return _result(run, program)


def _check_again(
    run: Run, program: Program, examples: Sequence[Array] | None, older: Remembered
) -> bool:
    """Whether a program that was found with other versions still is right and faster."""
    run.restart_clock()
    with run.stage("check again"):
        contest = contest_of(run, program, examples)
        assert older.program is not None
        report = contest.enter_known(
            "from the cache", older.program, older.split, Counter(older.report.rules)
        )
        run.report.candidates.append(report)
    if contest.candidates:
        confirm(run, program, contest, contest.candidates[0])
    return run.best is not None


def _result(run: Run, program: Program) -> Optimized:
    """What came out: the best program, else the original."""
    chosen = program if run.best is None else run.best
    if run.split is None or run.frozen is None:
        return Optimized(chosen, run.report, None, run.is_interrupted)
    counts = operation_counts(run.split.prologue.graph)
    run.report.frozen = FrozenReport(
        bytes_before(program, run.frozen),
        run.split.bytes_after,
        sum(counts.values()),
        dict(counts),
        "constants" if run.split.constants else "arguments",
    )
    return Optimized(run.split.main, run.report, run.split, run.is_interrupted)


def _devices(program: Program) -> tuple[jax.Device, ...]:
    """Devices to run a program on that is not bound to any; none means the default device."""
    count = program.partitions
    return () if count == 1 else tuple(jax.local_devices()[:count])


def _where(run: Run, program: Program) -> str:
    """Where a program is checked and timed, and what of it is not run for that."""
    place = f"{len(run.devices)} devices" if len(run.devices) > 1 else "one device"
    calls = len(outside_calls(program.graph))
    plural = "effect" if calls == 1 else "effects"
    return place + (f", with drawn values instead of {calls} {plural}" if calls else "")


def _optimize(run: Run, program: Program, examples: Sequence[Array] | None) -> None:
    run.report.measured_on = _where(run, program) if run.options.measure else ""
    with closing(PriceDatabase(run.options.database)) as database:
        pricing = pricing_of(run, database)
        run.restart_clock()
        contest = prepare(run, program, examples) if run.options.measure else None
        if contest is not None:
            pricing.model.taken.update(_branches_taken(run, program, contest))
        elif run.options.measure:
            return
        outline = _outlined(run, program)
        pricing.repetition = outline.repetition
        _search_and_select(run, program, outline, contest, pricing)
        pricing.repetition = ITSELF
    if run.best is not None:
        run.report.kernels = compare_kernels(program.graph, run.best.graph, pricing)


def _outlined(run: Run, program: Program) -> Outline:
    """What is searched in place of a program: of equal parts, one."""
    outline = outline_of(program.graph, run.frozen or (), numerics_of(run.options))
    if outline.parts is not None:
        with run.stage("outline") as notes:
            distinct = outline.parts.distinct()
            notes |= {"parts": len(outline.parts.segments), "distinct": len(distinct)}
    return outline


def _search_and_select(
    run: Run, program: Program, outline: Outline, contest: Contest | None, pricing: Pricing
) -> None:
    """Search, and take the program that is found if it is better; `contest` is where it races."""
    rules = active_rules(run.options)
    equalities = equalities_of(run, outline.graph, rules, pricing)
    found = search(run, equalities, rules, pricing, outline.frozen)
    if contest is not None:
        found, extraction = extract_varied(run, found, pricing, outline)
    price = Ranking(pricing).price_us
    whole_us = price(without_frozen(outline.whole(found.rounds[0][0])))
    run.report.predicted_original_us = found.original_us if whole_us is None else whole_us
    if contest is None:
        select_by_prediction(run, program, found, price, outline.whole)
    else:
        correct = partial(correct_prices, run, pricing=pricing, searched=outline)
        exactly = partial(search_exactly, run, outline, rules, pricing)
        select_by_measuring(
            run, program, contest, found, extraction, correct, price, outline.whole, exactly
        )


def _branches_taken(run: Run, program: Program, contest: Contest) -> dict[tuple[Graph, ...], int]:
    """Which branches the examples take, as far as that can be told: only prices depend on it.

    Parts of programs with effects are not run, since what they are given is not the program's own.
    """
    if len(run.devices) > 1 or outside_calls(program.graph):
        return {}
    try:
        return branches_taken(program.graph, contest.evaluate_on_examples)
    except Exception as error:  # whatever a compiler may raise
        logger.info("the branches that %s takes are not known: %s", program.name, error)
        return {}


def active_rules(options: Options) -> tuple[Rule, ...]:
    """The rules that the options admit."""
    admitted = rules_within(Numerics(NUMERICS.index(options.numerics)))
    families = options.rules
    chosen = [r for r in admitted if families is None or r.family in families]
    return (*chosen, *(form for own in options.user_rules for form in own.forms))


def _plain_options(options: Options) -> dict[str, Any]:
    return {name: value if value is None else str(value) for name, value in asdict(options).items()}
