"""A report as text for a terminal, 100 columns wide."""

from __future__ import annotations

from saturax.report.model import CandidateReport, FrozenReport, MemoryReport, Report, StageReport


def summary(report: Report) -> str:
    """One line: what came out."""
    if report.outcome != "optimized":
        return f"{report.program}: original program kept ({report.reason})"
    times = ""
    if report.original_us is not None and report.optimized_us is not None:
        times = f": {time_text(report.original_us)} → {time_text(report.optimized_us)}"
    speedup = f", {report.speedup:.2f}× faster" if report.speedup is not None else ""
    return f"{report.program}: optimized{times}{speedup}"


def explain(report: Report) -> str:
    """The whole report: result, evidence, changes, rules, candidates and stages."""
    parts = [summary(report)]
    if report.cached:
        parts.append(f"  found in the cache: optimised {report.cached}")
    if report.reason and report.outcome == "optimized":  # else the first line says it
        parts.append(f"  why: {report.reason}")
    if report.priced_by:
        parts.append(f"  for {report.device}, by {report.priced_by}")
    if report.measured_on:
        parts.append(f"  measured on {report.measured_on}")
    chosen = next((c for c in report.candidates if c.outcome == "chosen"), None)
    if chosen is not None:
        parts += _evidence(chosen)
    if report.frozen is not None:
        parts += [_frozen(report.frozen)]
    if report.memory is not None:
        parts += [f"  {line}" for line in memory_lines(report.memory)]
    if report.changes:
        parts += ["", f"operations: {report.operations_before} → {report.operations_after}"]
        parts += [f"  {op:<28} {before:>6} → {after}" for op, before, after in report.changes[:20]]
    if report.rules:
        parts += ["", "rules that lead from the original to the chosen program:"]
        ranked = sorted(report.rules.items(), key=lambda item: (-item[1], item[0]))
        parts += [f"  {count:>6} × {name}" for name, count in ranked[:25]]
    if report.candidates:
        parts += ["", "programs that were tried:", *legend(report)]
        parts += [_candidate(candidate) for candidate in report.candidates]
    parts += ["", f"stages ({report.seconds:.1f} s):"]
    parts += [_stage(stage) for stage in report.stages]
    parts += [f"warning: {warning}" for warning in report.warnings]
    return "\n".join(parts)


def legend(report: Report) -> list[str]:
    """What predicted times and ratios of the programs that were tried mean."""
    calls = [s.notes["call_us"] for s in report.stages if s.notes.get("call_us")]
    call = f" ({time_text(calls[0])} here)" if calls else ""
    lines = [f"  predicted: its kernels alone, without what any call takes{call}"]
    if any(candidate.ratio is not None for candidate in report.candidates):
        lines += [
            "  2.00×: twice as fast as the original, in whole calls; ratios of different races",
            "  cannot be compared, and the last race, of the best program, decides",
            "  without a ratio: it did not race, or only against the best so far",
        ]
    return lines


def _evidence(chosen: CandidateReport) -> list[str]:
    lines = []
    if chosen.largest_error is not None:
        lines.append(
            f"  checked: error {chosen.largest_error:.2e} against float64; "
            f"original {chosen.original_error:.2e}, allowed {chosen.allowed_error:.2e}"
        )
    if chosen.interval is not None:
        low, high = chosen.interval
        lines.append(f"  timed: {chosen.ratio:.3f}× (95 % interval {low:.3f}–{high:.3f})")
    return lines


def _frozen(frozen: FrozenReport) -> str:
    before, after = (f"{1e-6 * n:.1f} MB" for n in (frozen.bytes_before, frozen.bytes_after))
    return (
        f"  frozen: {frozen.operations} operations computed beforehand, {before} → {after}, "
        f"passed as {frozen.form}"
    )


def memory_lines(memory: MemoryReport) -> list[str]:
    """Peak memory of the original and of the chosen program, as far as it is known."""
    lines = []
    for title, planned, predicted in (
        ("original", memory.planned_original, memory.predicted_original),
        ("result", memory.planned_optimized, memory.predicted_optimized),
    ):
        known = [f"{bytes_text(planned)} as the compiler plans it"] if planned is not None else []
        known += [f"predicted {bytes_text(predicted)}"] if predicted is not None else []
        if known:
            lines.append(f"peak memory of the {title}: {', '.join(known)}")
    if memory.limit is not None:
        lines.append(f"limit of memory: {bytes_text(memory.limit)}")
    return lines


def bytes_text(count: float) -> str:
    """Bytes in the unit that fits, a thousand of one being one of the next.

    >>> bytes_text(1536)
    '1.5 kB'
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _candidate(candidate: CandidateReport) -> str:
    race = "the last race" if candidate.outcome == "chosen" else "its last race"
    ratio = "" if candidate.ratio is None else f", {candidate.ratio:.2f}× in {race},"
    why = f": {candidate.reason}" if candidate.reason else ""
    time_us = candidate.predicted_us
    predicted = "not predicted" if time_us is None else f"predicted {time_text(time_us)}"
    return f"  {candidate.name:<24} {predicted}{ratio} {candidate.outcome}{why}"


def _stage(stage: StageReport) -> str:
    notes = ", ".join(f"{name} {_note(value)}" for name, value in stage.notes.items())
    return f"  {stage.name:<12} {stage.seconds:>7.2f} s  {notes}"


def _note(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def time_text(us: float) -> str:
    """Microseconds in the unit that fits."""
    if us >= 1e6:
        return f"{us / 1e6:.2f} s"
    return f"{us / 1e3:.2f} ms" if us >= 1e3 else f"{us:.1f} µs"
