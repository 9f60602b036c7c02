"""Why the original of a program runs: what cannot be optimised, and what no candidate was."""

from __future__ import annotations

import jax

from saturax.graph.ir import Program
from saturax.options import is_disabled
from saturax.report.model import Report
from saturax.run import Run


def why_unsuitable(program: Program, run: Run) -> str:
    """Why a program is not optimised at all; empty if it is."""
    if is_disabled():
        return "SATURAX_DISABLE is set"
    if run.options.time_limit_s == 0:
        return "the time limit is 0"
    if any(device.process_index != jax.process_index() for device in run.devices):
        # Each would decide for itself, and their programs would no longer fit together.
        return "it runs in several processes, which saturax does not measure together"
    missing = program.partitions - len(run.devices) if program.partitions > 1 else 0
    if missing > 0 and run.options.measure:
        return f"it runs on {program.partitions} devices, {missing} more than there are here"
    return ""


def why_kept(run: Run) -> str:
    """Why none of the programs that were tried was taken."""
    report = run.report
    is_over = f"the time limit of {run.options.time_limit_s:g} s was over before"
    if run.remaining_s == 0 and not report.candidates:
        return f"{is_over} any other program was tried"
    if run.remaining_s == 0 and not is_conclusive(report):
        return f"{is_over} any candidate was timed"
    rejected = [c for c in report.candidates if c.outcome in ("rejected", "failed")]
    if report.candidates and len(rejected) == len(report.candidates):
        return f"no candidate passed the check ({len(rejected)} tried): {rejected[0].reason}"
    return "no candidate was faster than the original"


def is_conclusive(report: Report) -> bool:
    """Whether the original was kept for a reason that holds next time, not for want of time."""
    untimed = [c for c in report.candidates if c.outcome == "slower" and c.ratio is None]
    return not report.candidates or len(untimed) < len(report.candidates)
