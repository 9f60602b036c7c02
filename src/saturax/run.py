"""State of one optimisation: its options, its clock and its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import process_time
from typing import Any, Protocol, TypeVar

import jax

from saturax.assembly.split import Split
from saturax.cache.entries import Remembered
from saturax.graph.ir import Program
from saturax.mlir_modules import ModuleSource
from saturax.options import Options
from saturax.report.model import Report, StageReport

OnProgress = Callable[[str, str], None]
"""Called with a stage's name and a detail whenever there is something new to show."""

SEARCH_SHARE = 0.4
"""Share of the budget for searching by prediction; the rest belongs to measuring programs."""

# Compiling candidates may take this share of the time limit on top of it.
_COMPILATION_ALLOWANCE = 0.5
# Shorter times do not tell how busy the machine is.
_LEAST_OWN_S = 0.5


class _Stopped(Protocol):
    @property
    def stop_reason(self) -> str: ...


_S = TypeVar("_S", bound=_Stopped)


def unless_interrupted(result: _S) -> _S:
    """The result of a saturation, an extraction or a race, which end well when interrupted.

    Raises:
        KeyboardInterrupt: it was ended by Ctrl-C. The search is over then, not this part alone.
    """
    if result.stop_reason == "interrupted":
        raise KeyboardInterrupt
    return result


@dataclass
class Run:
    """State of one optimisation: its clock, its report and its prices.

    Programs run on `devices`; none means the default device. XLA compiles them with
    `compiler_options`. `source` is the module that the original was read from, if it is known.
    `best` is the best program so far and `split` its parts, if inputs are `frozen`; `older` was
    found with other versions; `is_complete` once all stages have run, `is_cut_short` if the
    original stays for want of time or of inputs, `is_interrupted` once the user wants it to end.
    `xla_s` are the seconds in which XLA compiled or ran programs; `excluded_s` of them do not
    count, of which `granted_s` went to compiling candidates. `reserved_s` are kept for the races,
    and `budget_s` are the seconds that stages have shares of: what the preparation and this reserve
    have left of the limit. `own_s` are the seconds of stages
    without XLA, in which the processor worked for this process for `own_cpu_s`.
    """

    options: Options
    report: Report
    on_progress: OnProgress
    started: float = field(default_factory=time.monotonic)
    excluded_s: float = 0.0
    granted_s: float = 0.0
    reserved_s: float = 0.0
    budget_s: float = 0.0
    devices: tuple[jax.Device, ...] = ()
    compiler_options: dict[str, Any] = field(default_factory=dict)
    source: ModuleSource | None = None
    xla_s: float = 0.0
    own_s: float = 0.0
    own_cpu_s: float = 0.0
    best: Program | None = None
    frozen: tuple[int, ...] | None = None
    split: Split | None = None
    older: Remembered | None = None
    is_complete: bool = False
    is_cut_short: bool = False
    is_interrupted: bool = False

    def __post_init__(self) -> None:
        self.budget_s = self.options.time_limit_s

    @property
    def remaining_s(self) -> float:
        """Seconds left of the limit, XLA's compilations and what is reserved not counted."""
        spent = time.monotonic() - self.started - self.excluded_s
        return max(0.0, self.options.time_limit_s - spent - self.reserved_s)

    @property
    def core_share(self) -> float:
        """How much of a core this process had while it searched; 1 where nobody else wanted it."""
        return 1.0 if self.own_s < _LEAST_OWN_S else min(1.0, self.own_cpu_s / self.own_s)

    @property
    def is_late(self) -> bool:
        """Whether the time set aside for searching by prediction is over."""
        return self.remaining_s < (1 - SEARCH_SHARE) * self.budget_s

    def restart_clock(self) -> None:
        """Begin to count the time limit now."""
        self.started = time.monotonic()

    def share_out(self, reserved_s: float) -> None:
        """Let stages have shares of what is left, but for seconds that are kept for the races.

        To run a large program on inputs to compare on may take half of the limit; with shares of
        the whole, the search took the other half, and one candidate was timed, in five pairs.
        """
        self.reserved_s = reserved_s
        self.budget_s = self.remaining_s

    @contextmanager
    def under(self, options: Options) -> Iterator[None]:
        """A block in which other options hold."""
        before, self.options = self.options, options
        try:
            yield
        finally:
            self.options = before

    def release(self) -> None:
        """Let the races have what is kept for them."""
        self.reserved_s = 0.0

    def exclude_preparation(self, seconds: float) -> None:
        """Take seconds that XLA compiled the original and its reference out of the account.

        All of them: nothing can be judged without these two, however long they take.
        """
        self.xla_s += seconds
        self.excluded_s += seconds

    def exclude_compilation(self, seconds: float) -> None:
        """Take seconds that XLA compiled a candidate out, as far as the allowance reaches."""
        self.xla_s += seconds
        allowance_s = _COMPILATION_ALLOWANCE * self.options.time_limit_s
        granted_s = min(seconds, allowance_s - self.granted_s)
        self.granted_s += granted_s
        self.excluded_s += granted_s

    def count_running(self, seconds: float) -> None:
        """Take note of seconds in which programs ran: they count, but are not saturax's own."""
        self.xla_s += seconds

    def share_s(self, share: float) -> float:
        """Seconds that a stage may take: a share of the budget, no more than what is left."""
        return min(share * self.budget_s, self.remaining_s)

    def tell(self, stage: str, detail: str) -> None:
        """Show what a stage does, and how long all of it may still take."""
        left = f"at most {self.remaining_s:.0f} s left"
        self.on_progress(stage, f"{detail}; {left}" if detail else left)

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage; what it notes goes into the report."""
        self.on_progress(name, "")
        self.tell(name, "")
        notes: dict[str, Any] = {}
        start, xla_before_s, cpu_before_s = time.monotonic(), self.xla_s, process_time()
        try:
            yield notes
        finally:
            seconds = time.monotonic() - start
            xla_s = min(seconds, self.xla_s - xla_before_s)
            if xla_s == 0:
                self.own_s += seconds
                self.own_cpu_s += process_time() - cpu_before_s
            self.report.stages.append(StageReport(name, seconds, notes, xla_s))
