"""How one compiled program is timed: the estimate, the pinning to a core, the empty call.

The estimate is the lower quartile over batches of the fastest call in a batch. Disturbances only
ever add time, so the minimum of a few calls removes them, and the quartile leaves out the batches
of a slow spell; a quarter of the batches keeps one lucky call (a thread pool that happened to be
awake) from deciding, as it would in a plain minimum.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np

from saturax.jaxlib_compat import Executable, compile_module, default_device, put_on_device

Clock = Callable[[], float]
"""Seconds since some moment."""

_CALLS_PER_BATCH = 4
_MIN_CALLS = 3
# What is new or disturbed is a small part of calls so long: one to warm up and two are enough. The
# products of a vocabulary's logits, at 40 to 80 ms, had taken half the time for measuring.
_LONG_CALL_S, _LEAST_LONG_CALLS = 0.015, 2
_MAX_CALLS = 400
# Waiting for calls costs more than a short kernel: the caller is put to sleep and woken, and so are
# the threads of a CPU. So many seconds of calls are queued, therefore, before they are waited for;
# the results of all of them take memory, and on a CPU have their share in its caches.
_QUEUED_S, _MAX_CALLS_PER_WAIT, _QUEUED_BYTES, _LEAST_QUEUED = 1e-3, 32, 4 << 20, 2
# Threads that sleep are woken within it: 30 to 110 µs besides kernels of 20 to 250.
_WAKING_S = 1e-4
EMPTY_CALL_S = 0.005
"""Time for timing an empty call, once."""
_TINY_MODULE = "func.func public @main(%0: tensor<f32>) -> tensor<f32> { return %0 : tensor<f32> }"


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, interquartile range relative to it, and how many calls were timed.

    `computed_s` are those that all threads of the process computed meanwhile.
    """

    seconds: float
    spread: float
    repetitions: int
    computed_s: float = 0.0

    @property
    def undisturbed_s(self) -> float:
        """Seconds of a call of a CPU's program, however often others had the processor meanwhile.

        It takes no longer than what its threads computed, one after the other, and waking them:
        beside others that had four fifths of two cores, calls of 0.11 s took 1.
        """
        if not self.computed_s:
            return self.seconds
        return min(self.seconds, self.computed_s + _WAKING_S)

    @property
    def upper_quartile_s(self) -> float:
        """Seconds that three of four batches were below."""
        return self.seconds * (1 + self.spread)


_Call = tuple[float, float]
"""Seconds of a call, and seconds that all threads of the process computed meanwhile."""


class TimedProgram:
    """A compiled program that is called again and again on its arguments, collecting times.

    `argument_lists` are used in turn, one list a call: several lists that differ in an input keep
    that input out of the caches. A program that runs on one thread can be timed by
    `time.process_time`, to which other processes add nothing. Calls that are `queued` follow each
    other as the kernels of a program do; on an accelerator they always are.
    """

    def __init__(
        self,
        executable: Executable,
        argument_lists: Sequence[Sequence[jax.Array]],
        clock: Clock = time.perf_counter,
        *,
        queued: bool = False,
    ) -> None:
        self._queued = queued or executable.device.platform != "cpu"
        self._clock = clock
        self._executable = executable
        self._argument_lists = argument_lists
        self._position = 0
        self._calls_per_wait = 1
        self._batch_minima: list[_Call] = []
        self._repetitions = 0
        self._outputs = self._output_bytes = 0

    @property
    def arity(self) -> tuple[int, int]:
        """Numbers of inputs and outputs; of outputs, as the last call returned them."""
        return len(self._argument_lists[0]), self._outputs

    def run(self, budget_s: float) -> None:
        """Warm up with one or two calls, then time calls for about `budget_s` seconds."""
        seconds = 0.0
        if not self._batch_minima and self._queued:
            seconds = self._queue_short_calls()
        if seconds < _LONG_CALL_S:
            seconds, _ = self._call()
        if self._calls_per_wait == 1 and seconds < _LONG_CALL_S:
            seconds, _ = self._call()  # of several calls the first matters little
        calls = _calls_within(budget_s, seconds * self._calls_per_wait)
        self._batch_minima += _batch_minima(self._call, calls)
        self._repetitions += calls * self._calls_per_wait

    def timing(self) -> Timing | None:
        """What was measured so far, or None before the first run."""
        if not self._batch_minima:
            return None
        return _summary(self._batch_minima, self._repetitions)

    def restart(self) -> None:
        """Forget what was measured."""
        self._batch_minima, self._repetitions = [], 0

    def once(self) -> float:
        """Seconds of a single call after a warm-up; recorded nowhere."""
        self._call()
        return self._call()[0]

    def _queue_short_calls(self) -> float:
        """Find out how many calls to queue; seconds of one."""
        seconds, _ = self._call()
        if seconds >= _LONG_CALL_S:
            return seconds
        seconds, _ = self._call()
        calls = min(_MAX_CALLS_PER_WAIT, int(_QUEUED_S / max(seconds, 1e-7)))
        if self._executable.device.platform == "cpu":
            calls = min(calls, max(_LEAST_QUEUED, _QUEUED_BYTES // max(self._output_bytes, 1)))
        self._calls_per_wait = max(1, calls)
        return seconds

    def _call(self) -> _Call:
        started, computed = self._clock(), time.process_time()
        for _ in range(self._calls_per_wait):
            arguments = self._argument_lists[self._position]
            self._position = (self._position + 1) % len(self._argument_lists)
            results = self._executable(arguments)
        wait_for(results)
        seconds, computed_s = self._clock() - started, time.process_time() - computed
        self._outputs = len(results)
        self._output_bytes = sum(each.nbytes for each in results)
        return seconds / self._calls_per_wait, computed_s / self._calls_per_wait


def time_call(call: Callable[[], object], budget_s: float) -> Timing:
    """Time a function of no arguments that returns only when its work is done."""

    def timed() -> _Call:
        started, computed = time.perf_counter(), time.process_time()
        call()
        return time.perf_counter() - started, time.process_time() - computed

    call()
    calls = _calls_within(budget_s, timed()[0])
    return _summary(_batch_minima(timed, calls), calls)


def wait_for(arrays: Sequence[jax.Array]) -> None:
    """Return when all arrays have been computed; raises what computing them raised."""
    for array in arrays:
        array.block_until_ready()


def empty_program(
    device: jax.Device, clock: Clock = time.perf_counter, *, queued: bool = False
) -> TimedProgram:
    """A program that does nothing, so that what remains is calling it and waiting for it."""
    executable, scalar = _empty_executable(device)
    return TimedProgram(executable, [[scalar]], clock, queued=queued)


@lru_cache(maxsize=8)
def _empty_executable(device: jax.Device) -> tuple[Executable, jax.Array]:
    return compile_module(_TINY_MODULE, device), put_on_device(np.float32(1), device)


def time_empty_call(device: jax.Device | None = None, budget_s: float = EMPTY_CALL_S) -> Timing:
    """Time calling a program that does nothing, and waiting for it."""
    program = empty_program(default_device() if device is None else device)
    program.run(budget_s)
    timing = program.timing()
    assert timing is not None  # it has just run
    return timing


@contextmanager
def pinned_to_one_core(wanted: bool = True) -> Iterator[bool]:
    """Run all threads of this process on one core inside the block; yields whether it is so.

    Only Linux can do this; elsewhere, and where the system refuses, nothing happens.
    """
    if not wanted or sys.platform != "linux":
        yield False
        return
    allowed = os.sched_getaffinity(0)
    before: dict[int, set[int]] = {}
    try:
        yield _pin_threads({max(allowed)}, before)  # core 0 serves most interrupts
    finally:
        # A thread born inside the block inherited the pin: give it all that this process may use.
        for thread in _threads():
            with suppress(OSError):
                os.sched_setaffinity(thread, before.get(thread, allowed))


def _pin_threads(cores: set[int], before: dict[int, set[int]]) -> bool:
    """Pin every thread of this process, noting in `before` where each was allowed to run."""
    try:
        for thread in _threads():
            with suppress(ProcessLookupError):
                before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, cores)
    except OSError:
        return False
    return True


def _threads() -> list[int]:
    return [int(name) for name in os.listdir("/proc/self/task")]


def _calls_within(budget_s: float, seconds_per_call: float) -> int:
    least = _MIN_CALLS if seconds_per_call < _LONG_CALL_S else _LEAST_LONG_CALLS
    return max(least, min(_MAX_CALLS, int(budget_s / max(seconds_per_call, 1e-7))))


def _batch_minima(timed: Callable[[], _Call], calls: int) -> list[_Call]:
    """Fastest call of each batch; where calls are few, each is a batch of its own."""
    size = _CALLS_PER_BATCH if calls >= 4 * _CALLS_PER_BATCH else 1
    return [min(timed() for _ in range(size)) for _ in range(calls // size)]


def _summary(batch_minima: Sequence[_Call], repetitions: int) -> Timing:
    seconds, computed_s = np.asarray(batch_minima).T
    low, high = (float(each) for each in np.quantile(seconds, (0.25, 0.75)))
    spread = (high - low) / low if low > 0 else 0.0
    # What other processes take of a call is in its seconds, not in what this one computed.
    return Timing(low, spread, repetitions, float(np.median(computed_s)))
