"""Stage `select`: what the search found becomes candidates; the fastest one becomes the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from saturax.assembly.holding import hold_products
from saturax.assembly.split import Split, bytes_before, split
from saturax.checking.inputs import Array
from saturax.cost.formulate import read_program, without_frozen
from saturax.extract import Extraction, Selection, tree_greedy
from saturax.graph.ir import Graph, Program
from saturax.racing.contest import Candidate, Contest
from saturax.racing.durations import (
    TELLING_PAIRS,
    deciding_s,
    is_scarce,
    last_race_s,
    shortest_race_s,
)
from saturax.racing.footprint import Footprint, predict
from saturax.racing.frozen_contest import FrozenContest
from saturax.racing.predicted import best_of, best_predicted
from saturax.racing.refine import Entry, MeasuredSearch, Price, Whole
from saturax.report.model import MemoryReport
from saturax.run import Run
from saturax.search.rounds import Found, rules_of

_ELEMENTWISE = ("unary", "binary", "ternary")
# So much of what the preparation leaves is kept, if need be, for one candidate: to check it, which
# takes so many calls an input, and to race it in so many pairs: where calls vary by a tenth, they
# decide about a gain of 7 %.
_RESERVED_SHARE, _RESERVED_PAIRS, _CALLS_A_CHECK = 0.25, 48, 2.0
# Candidates are compiled and checked for this share of the time for selection.
_ENTRY_SHARE = 0.5
# So many bytes count as frozen in any case: programs without weights have tables, too.
_LEAST_FROZEN_BYTES = 1 << 20
# Programs that run for seconds are compared on fewer inputs.
_SAMPLING_SHARE = 0.1
# What greedy extraction chooses races where it is predicted to take no more than so many times as
# long as the best, and where time is scarce any other program, too.
_NEARLY = 1.1
# A program needs less memory if it needs so many times as much.
_LESS_MEMORY = 0.99


def select_by_prediction(
    run: Run,
    program: Program,
    found: Found,
    price: Price = lambda graph: None,
    whole: Whole = lambda extracted: extracted,
) -> None:
    """Take the program with the lowest predicted time, unmeasured and unchecked.

    Where `price`, of programs as wholes, says that this is a clear gain, values are written. What
    was found stands for its `whole`.
    """
    original = predict(program)
    _note_original(run, original)
    original_us = run.report.predicted_original_us or found.original_us
    best = best_predicted(found, original_us, price, whole)
    extracted, rules = best.extracted, best.rules
    run.report.predicted_optimized_us = best.time_us
    chosen, parts = program.with_graph(extracted.graph), None
    if run.frozen is not None:
        parts = split(chosen, run.frozen, extracted.frozen, _largest_bytes(run, program)).held()
        chosen = parts.main
    else:
        chosen = chosen.with_graph(hold_products(chosen.graph))
    footprint = predict(chosen)
    if footprint.exceeds(run.options.memory_limit_bytes):
        run.report.reason = "the program with the lowest predicted time needs too much memory"
        return
    if not (best.is_faster or _wins_by_memory(run, footprint, original)):
        return
    if run.options.objective == "memory" and original.is_less_than(footprint):
        run.report.reason = "the program with the lowest predicted time needs more memory"
        return
    run.report.warnings.append("chosen by prediction: nothing was run, measured or checked")
    _note_chosen(run, footprint)
    _accept(run, program, chosen, rules, parts)


def _note_original(run: Run, footprint: Footprint) -> None:
    """Report the memory that the original needs."""
    limit = run.options.memory_limit_bytes
    run.report.memory = MemoryReport(
        footprint.predicted_bytes, footprint.planned_bytes, limit=limit
    )
    if footprint.exceeds(limit):
        run.report.warnings.append(
            f"the original needs {footprint.known_bytes:,} bytes of memory, more than the limit of "
            f"{limit:,}"
        )


def _note_chosen(run: Run, footprint: Footprint) -> None:
    if run.report.memory is not None:
        run.report.memory.predicted_optimized = footprint.predicted_bytes
        run.report.memory.planned_optimized = footprint.planned_bytes


def _wins_by_memory(run: Run, footprint: Footprint, original: Footprint) -> str:
    """Why a program is better than the original whatever it takes; empty if it is not."""
    limit = run.options.memory_limit_bytes
    if original.exceeds(limit) and not footprint.exceeds(limit):
        return "the original needs more memory than the limit"
    is_wanted = run.options.objective == "memory"
    if is_wanted and footprint.is_less_than(original, _LESS_MEMORY):
        return "it needs less memory than the original"
    return ""


def _largest_bytes(run: Run, program: Program) -> float:
    """How many bytes the values computed from frozen inputs may take."""
    before = bytes_before(program, run.frozen or ())
    return run.options.frozen_growth * max(before, _LEAST_FROZEN_BYTES)


def prepare(run: Run, program: Program, examples: Sequence[Array] | None) -> Contest | None:
    """The original, compiled, and inputs to judge candidates by; None if there are none."""
    with run.stage("prepare") as notes:
        contest = contest_of(run, program, examples)
        notes["inputs"] = len(contest.samples)
    if run.options.verify and not contest.samples:
        run.report.reason = "no inputs were found on which its outputs are finite and vary"
        return None
    run.share_out(min(_RESERVED_SHARE * run.remaining_s, _entering_s(contest)))
    return contest


def _entering_s(contest: Contest) -> float:
    """Seconds in which a candidate is checked, and a race can decide about it."""
    checks_s = _CALLS_A_CHECK * len(contest.samples) * contest.call_s
    return deciding_s(contest, _RESERVED_PAIRS) + checks_s


def select_by_measuring(
    run: Run,
    program: Program,
    contest: Contest,
    found: Found,
    extraction: Extraction,
    correct: Callable[[MeasuredSearch], int] = lambda measured: 0,
    price: Price = lambda graph: None,
    whole: Whole = lambda extracted: extracted,
    search_exactly: Callable[[], Found | None] = lambda: None,
) -> None:
    """Compile, check and time candidates; then vary the best one, kernel by kernel.

    Once those that the search has found have met the original, `correct(measured)` looks after
    prices that this race contradicts. Where time is enough for one race of one program only, that
    is the last one. `price` says what programs take as wholes, as far as known; what was found
    stands for its `whole`. `search_exactly()` is asked where nothing accurate enough was found.
    """
    run.release()
    measured = MeasuredSearch(
        found.formulation,
        contest,
        found.rules,
        found.usual,
        run.report.candidates,
        lambda: run.remaining_s,
        run.options.limits.variations,
        lambda detail: run.tell("select", detail),
        found.rounds[0][0],
        found.first,
        price,
        whole,
        search_exactly,
    )
    try:
        with run.stage("select") as notes:
            until_s = (1 - _ENTRY_SHARE) * run.remaining_s
            for number, enter in enumerate(_entries(measured, extraction, found)):
                race_s = shortest_race_s(contest, 1 + len(measured.entries))
                # Two predictions have a first choice each.
                if number > 1:
                    race_s = max(until_s, race_s, deciding_s(contest, TELLING_PAIRS))
                if run.remaining_s < race_s and measured.entries:
                    break
                enter()
            if is_hurried := measured.is_last_race_all:
                measured.champion = measured.entries[0]
            else:
                measured.race()
            is_hurried |= measured.is_open
            notes["corrected prices"] = 0 if is_hurried else correct(measured)
            notes["candidates"] = len(run.report.candidates)
        _prefer_memory(run, contest, measured)
        is_wanted = run.options.extraction == "global" and run.options.objective == "time"
        if is_wanted and not (is_hurried or measured.is_open or run.is_interrupted):
            with run.stage("refine") as notes:
                notes["tried"] = measured.refine()
    finally:
        if measured.champion is not None:
            confirm(run, program, contest, measured.champion.candidate)


def _prefer_memory(run: Run, contest: Contest, measured: MeasuredSearch) -> None:
    """Where memory decides, the champion is what needs least of it, the fastest of equals."""
    original = contest.original_footprint()
    is_sought = run.options.objective == "memory" or (
        original.exceeds(run.options.memory_limit_bytes) and measured.champion is None
    )
    if not is_sought or not measured.entries:
        return

    def key(entry: Entry) -> tuple[float, float]:
        bytes = contest.footprint(entry.candidate).known_bytes
        needed = 0 if bytes is None or run.options.objective == "time" else bytes
        return needed, -(entry.candidate.report.ratio or 0.0)

    best = min(measured.entries, key=key)
    if _wins_by_memory(run, contest.footprint(best.candidate), original):
        measured.champion = best


def contest_of(run: Run, program: Program, examples: Sequence[Array] | None) -> Contest:
    """The contest of the original and its candidates on this device."""
    options = run.options
    common: dict[str, Any] = {
        "program": program,
        "examples": examples,
        "verifies": options.verify,
        "with_special_values": options.numerics == "bitwise",
        "seed": options.seed,
        "on_compiled": run.exclude_preparation,
        "devices": run.devices,
        "compiler_options": run.compiler_options,
        "on_ran": run.count_running,
        "sampling_limit_s": _SAMPLING_SHARE * options.time_limit_s,
        "memory_limit_bytes": options.memory_limit_bytes,
        "source": run.source,
    }
    if run.frozen is None:
        contest = Contest(**common)
    else:
        largest_bytes = _largest_bytes(run, program)
        contest = FrozenContest(**common, frozen=run.frozen, largest_bytes=largest_bytes)
        run.split = contest.original_split
    contest.on_compiled = run.exclude_compilation  # of candidates, from now on
    _note_original(run, contest.original_footprint())
    return contest


def _entries(
    measured: MeasuredSearch,
    extraction: Extraction,
    found: Found,
) -> Iterator[Callable[[], object]]:
    """Ways to enter candidates, those first that tell most: the best, its ancestors, its kin.

    Kin of what is not accurate enough is as a rule no better: all that was left of the time went to
    checking seven programs that resampled particles by the same sum in another order.
    """
    best, *varied = extraction.selections
    if (held := measured.held(best)) is not None:
        program, values = held
        yield partial(measured.enter_held, "best predicted", program, values.count, best)
    yield partial(measured.enter, "best predicted", best)
    if found.other is not None:
        yield partial(_enter_other, measured, found.other)
    if (held := measured.held()) is not None:
        program, values = held
        yield partial(measured.enter_held, "original", program, values.count)
    if measured.is_inexact:
        return
    kin = [(partial(measured.enter, f"varied {n}", each), each) for n, each in enumerate(varied, 1)]
    yield from (enter for enter, _ in kin[:1])  # the best by the other prediction, if they differ
    if found.other is None:  # else that was a search by greedy choices
        yield partial(_enter_greedy, measured, found, best)
    for number, (extracted, predicted_us) in enumerate(found.rounds[1:], 1):
        program = measured.whole(extracted)
        yield partial(measured.enter_program, f"after round {number}", program, predicted_us)
    for enter, selection in kin[1:]:
        if measured.is_inexact:
            return
        if not _is_hopeless(measured, selection, best):
            yield enter


def _is_hopeless(measured: MeasuredSearch, selection: Selection, best: Selection) -> bool:
    """Whether a selection is predicted to be so much slower that scarce time is not for it."""
    if not is_scarce(measured.contest, measured.remaining_s()):
        return False
    programs = (measured.extracted(each) for each in (selection, best))
    time_us, best_us = (measured.price(without_frozen(program)) for program in programs)
    return time_us is not None and best_us is not None and time_us > _NEARLY * best_us


def _enter_greedy(measured: MeasuredSearch, found: Found, best: Selection) -> None:
    """Enter what greedy extraction makes of the first round, if that is nearly as good as the best.

    Greedy choices of shared values are dearer by the sum of prices, and at times the faster whole.
    """
    formulation = found.formulation if found.first is None else found.first[0]
    greedy = read_program(formulation, tree_greedy(formulation.problem))
    price = measured.price
    best_us = price(without_frozen(measured.extracted(best)))
    program = measured.whole(greedy)
    greedy_us = price(without_frozen(program))
    if best_us is not None and greedy_us is not None and greedy_us <= _NEARLY * best_us:
        rules = rules_of(formulation, greedy)
        measured.enter_program("by greedy extraction", program, greedy_us, rules=rules)


def _enter_other(measured: MeasuredSearch, other: Found) -> None:
    """Enter the best program of another search."""
    extracted, rules = best_of(other, measured.whole)
    measured.enter_program("of the second search", extracted, other.best_us, rules=rules)


def confirm(run: Run, program: Program, contest: Contest, champion: Candidate) -> None:
    """A last race between the champion and the original decides."""
    with run.stage("confirm"):
        champion = contest.best_form(champion)
        limit_s = run.options.time_limit_s
        seconds = last_race_s(contest, champion.report, run.remaining_s, limit_s)
        result = contest.last_race(champion, seconds)
    entry, report = result.entries[0], champion.report
    report.time_us, report.ratio, report.interval = entry.time_us, entry.ratio, entry.interval
    run.report.original_us = result.original_us
    footprint, original = contest.footprint(champion), contest.original_footprint()
    memory = _wins_by_memory(run, footprint, original)
    if run.options.objective == "memory" and original.is_less_than(footprint):
        report.outcome, report.reason = "rejected", "it needs more memory than the original"
        return
    if result.winner is None and not memory and not contest.wins_tie(champion, entry):
        report.outcome, report.reason = "slower", entry.reason
        return
    report.outcome, report.reason = "chosen", ""  # whatever an earlier race had found
    if result.winner is None:
        report.reason = memory or "as fast as the original, with less work"
    _note_chosen(run, footprint)
    run.report.optimized_us, run.report.speedup = entry.time_us, entry.ratio
    run.report.predicted_optimized_us = report.predicted_us
    _accept(run, program, champion.program, Counter(report.rules), champion.split)


def _accept(
    run: Run,
    program: Program,
    chosen: Program,
    rules: Counter[str],
    parts: Split | None,
) -> None:
    """Make `chosen`, the main program of `parts` if there are any, the result."""
    run.best = chosen
    run.split = parts or run.split
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
