"""A killable solver process (see `_solver.py`): programs in, best solutions out, never a hang.

HiGHS has overrun its own time limit by 20 s, and a native crash would take the caller along; here
both cost one process, which the next request replaces.
"""

from __future__ import annotations

import contextlib
import math
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saturax.extract._solver import read_frame, write_frame

# How long the solver may overrun its limit before it is killed.
_GRACE_S = 0.3
_SCRIPT = Path(__file__).with_name("_solver.py")


@dataclass(frozen=True, eq=False)
class Program:
    """A mixed-integer linear program in rows: minimise cost·x, lower ≤ x ≤ upper, rows ranged."""

    cost: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    integer: NDArray[np.bool_]
    row_lower: NDArray[np.float64]
    row_upper: NDArray[np.float64]
    row_start: NDArray[np.int32]
    column: NDArray[np.int32]
    value: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the solver found, and why it stopped.

    `status` is "optimal", "infeasible", "time limit", "node limit", or a sentence on what went
    wrong; `values` is the best point, if any; `bound_us` a lower bound on the optimum, if any;
    `work` the number of simplex iterations, a measure of effort that does not depend on the clock.
    """

    status: str
    values: NDArray[np.float64] | None = None
    bound_us: float | None = None
    work: int = 0


class SolverProcess:
    """Context manager around one solver process, started at first use and killed at exit.

    Not for concurrent use. After any failure of the process, the next `solve` starts a new one;
    after `failures` such failures in a row it is left alone and `solve` says so.
    """

    def __init__(self, command: tuple[str, ...] | None = None, failures: int = 3) -> None:
        # -P: the script's own folder stays off sys.path, where our modules could hide others.
        self._command = command or (sys.executable, "-P", str(_SCRIPT))
        self._process: subprocess.Popen[bytes] | None = None
        self._failures_left = failures
        self._failure_limit = failures
        self._last_failure = ""

    def __enter__(self) -> SolverProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_usable(self) -> bool:
        """Whether a further `solve` can be expected to work."""
        return self._failures_left > 0

    def start(self) -> None:
        """Start the process now, so that its imports overlap with other work."""
        if self._process is None and self.is_usable:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us; we kill the process ourselves
                )
            except OSError as error:
                self._fail(f"the solver process could not be started: {error}")

    def close(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def solve(
        self,
        program: Program,
        *,
        deadline: float,
        start: NDArray[np.float64] | None = None,
        node_limit: int | None = None,
        use_heuristics: bool = True,
    ) -> Answer:
        """Solve until `deadline` (`time.monotonic`); any failure is told in `Answer.status`.

        Deterministic when `node_limit` stops the search and the deadline does not.
        """
        time_limit_s = deadline - time.monotonic()
        if time_limit_s <= 0:
            return Answer("time limit")
        if not self.is_usable:
            return Answer(f"not tried again after: {self._last_failure}")
        self.start()
        if self._process is None:
            return Answer(self._last_failure)
        request = {
            **vars(program),
            "start": start,
            "time_limit_s": min(time_limit_s, 1e6),
            "node_limit": 2**31 - 1 if node_limit is None else node_limit,
            "use_heuristics": use_heuristics,
        }
        frames: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(
            target=_exchange, args=(self._process, request, frames), daemon=True
        ).start()
        try:
            return self._collect(frames, deadline)
        except BaseException:
            self.close()
            raise

    def _collect(self, frames: queue.SimpleQueue[dict[str, Any] | None], deadline: float) -> Answer:
        best = Answer("time limit")
        while True:
            wait_s = min(deadline + _GRACE_S - time.monotonic(), threading.TIMEOUT_MAX)
            try:
                frame = frames.get(timeout=max(wait_s, 0.0))
            except queue.Empty:
                self.close()  # overran: the best so far counts, and it is no failure
                return best
            if frame is None:
                self._fail("the solver process died")
                return Answer(self._last_failure, best.values, best.bound_us)
            if frame["final"] and frame["status"] == "error":
                self._fail(f"the solver failed: {frame['reason']}")
                return Answer(self._last_failure, best.values, best.bound_us)
            bound = frame["bound_us"]
            finite = None if bound is None or not math.isfinite(bound) else bound
            if not frame["final"]:
                best = Answer("time limit", frame["values"], finite)
                continue
            self._failures_left = self._failure_limit
            values = best.values if frame["values"] is None else frame["values"]
            return Answer(frame["status"], values, finite, frame["work"])

    def _fail(self, reason: str) -> None:
        self._last_failure = reason
        self._failures_left -= 1
        self.close()


def _exchange(
    process: subprocess.Popen[bytes],
    request: dict[str, Any],
    frames: queue.SimpleQueue[dict[str, Any] | None],
) -> None:
    """Send the request, pass on the frames of the answer; None if the process ends before."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        write_frame(process.stdin, request)  # type: ignore[arg-type]
        while (frame := read_frame(process.stdout)) is not None:  # type: ignore[arg-type]
            frames.put(frame)
            if frame["final"]:
                return
    except (OSError, ValueError, EOFError):
        pass  # killed, by us or otherwise
    frames.put(None)
