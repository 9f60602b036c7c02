"""Why the original of a program runs: what cannot be optimised, and what no candidate was."""

from __future__ import annotations

import math

import jax

from saturax.cache.entries import MOST_CUT_SHORT
from saturax.graph.ir import Program
from saturax.options import is_disabled
from saturax.racing.select import OUT_OF_TIME
from saturax.report.model import Report
from saturax.run import Run

_GIVEN = ("parameter", "constant")

# A process with a smaller share of a core while it searches is not alone on the machine.
_BUSY = 0.8


def why_unsuitable(program: Program, run: Run) -> str:
    """Why a program is not optimised at all; empty if it is."""
    if is_disabled():
        return "SATURAX_DISABLE is set"
    if run.options.time_limit_s == 0:
        return "the time limit is 0"
    if all(node.op in _GIVEN for node in program.graph.nodes):
        return "it computes nothing: its results are arguments and constants"
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
    share = run.core_share
    busy = f" (others were at work: it had {share:.0%} of a core)" if share < _BUSY else ""
    is_over = f"the time limit of {run.options.time_limit_s:g} s was over before"
    if run.remaining_s == 0 and not report.candidates:
        return f"{is_over} any other program was tried{busy}"
    rejected = [c for c in report.candidates if c.outcome in ("rejected", "failed")]
    if report.candidates and len(rejected) == len(report.candidates):
        is_over = f"; {is_over} others were tried{busy}" if run.remaining_s == 0 else ""
        why = rejected[0].reason
        return f"no candidate passed the check ({len(rejected)} tried): {why}{is_over}"
    if run.remaining_s == 0 and not _is_any_timed(report):
        return f"{is_over} any candidate was timed{busy}"
    if not is_conclusive(report):
        return f"{is_over} a race was decided{busy}"
    return "no candidate was faster than the original"


def is_conclusive(report: Report, remaining_s: float = math.inf) -> bool:
    """Whether the original was kept for a reason that holds next time, not for want of time."""
    if remaining_s == 0 and not _is_any_timed(report):
        return False
    if not report.candidates:
        return True
    untimed = [c for c in report.candidates if c.outcome == "slower" and c.ratio is None]
    is_raced = len(untimed) < len(report.candidates)
    return is_raced and not any(c.reason.startswith(OUT_OF_TIME) for c in report.candidates)


def _is_any_timed(report: Report) -> bool:
    return any(candidate.ratio is not None for candidate in report.candidates)


def after_cut_short(number: int) -> str:
    """What happens after that many searches that had too little time, as the end of a reason."""
    if number < MOST_CUT_SHORT:
        return f"; search {number} of {MOST_CUT_SHORT}: a later process will try again"
    return f", as in {number} searches: there will be no other"
