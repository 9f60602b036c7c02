"""How much work a compiled program does, by XLA's own counts: what decides between equal times.

Small programs take the few microseconds of a call whatever they do, so that no clock tells a good
one from a bad one. What does less of everything is then the better program: it costs less energy,
and less time as soon as the machine is busy or the program is part of a larger one.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass

from saturax.jaxlib_compat import Executable, cost_analysis, memory_analysis, optimized_hlo

# Counts that differ by less are the same; one of them has to be better by more than the second.
_SAME, _LESS = 1.001, 0.98
_CALLS = re.compile(r" (?:custom-call|while)\(")


@dataclass(frozen=True)
class Work:
    """Counts of a compiled program; `calls` are library calls and loops, whose insides XLA's
    analysis does not count, or counts once.
    """

    flops: float
    transcendentals: float
    bytes_accessed: float
    calls: float
    temporary_bytes: float


def work_of(executable: Executable) -> Work | None:
    """The work of a compiled program; None where XLA does not tell."""
    try:
        counts = cost_analysis(executable)
        calls = len(_CALLS.findall(optimized_hlo(executable)))
        temporary = memory_analysis(executable).temporary_bytes
    except Exception:  # not every back end has these analyses, and each fails in its own way
        return None
    return Work(
        counts.get("flops", 0.0),
        counts.get("transcendentals", 0.0),
        counts.get("bytes accessed", 0.0),
        float(calls),
        float(temporary),
    )


def is_less(work: Work | None, other: Work | None) -> bool:
    """Whether `work` is less than the other: nothing more, and some of the first four less.

    >>> is_less(Work(1, 0, 8, 0, 0), Work(2, 0, 8, 0, 0))
    True
    >>> is_less(Work(1, 1, 8, 0, 0), Work(2, 0, 8, 0, 0))
    False
    """
    if work is None or other is None:
        return False
    pairs = list(zip(astuple(work), astuple(other), strict=True))
    nothing_more = all(mine <= _SAME * theirs for mine, theirs in pairs)
    return nothing_more and any(mine < _LESS * theirs for mine, theirs in pairs[:4])
