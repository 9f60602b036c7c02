"""Compile StableHLO modules and time them on this device: many small modules within a time budget.

Modules are compiled in groups and timed when nothing compiles, taking turns, so that a slow spell
of the machine is shared by all of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import jax
import numpy as np

from saturax.collector import no_garbage_collection
from saturax.cost.timing import (
    EMPTY_CALL_S,
    Clock,
    TimedProgram,
    Timing,
    empty_program,
    pinned_to_one_core,
)
from saturax.graph.types import TensorType, is_complex, is_float, numpy_dtype
from saturax.jaxlib_compat import Executable, compile_module, default_device, put_on_device
from saturax.mlir_modules import (
    ModuleError,
    ModuleSource,
    module_signature,
    parse_module,
    without_donation,
)

Beside = Callable[[int, int], ModuleSource]
"""A module with a number of inputs and outputs, at least one of each."""

Range = tuple[float, float]
"""Values of an input: from the first, inclusive, to the second, exclusive."""

_ROUNDS = 6
# A program whose calls are so long that it has had so many times its share after two rounds is
# known well enough: what disturbs short calls is a small part of long ones.
_ENOUGH_ROUNDS, _ENOUGH_SHARES = 2, 8.0
MODULES_PER_GROUP = 16
"""Modules that are compiled, and then timed, together."""
_OVERHEAD_S = 0.001  # of timing each module of the overhead, in each round
# While a short kernel runs, the next call is already being prepared: kernels that a profile showed
# to take 5 to 13 µs made calls of 26 µs 0 to 3 longer. What adds less to a call than this share of
# it, or than slow calls differ from quick ones, is not known from it.
_TELLING_SHARE = 0.5
_MANY = 8
_ARITIES = ((1, 1), (1 + _MANY, 1), (1 + _MANY, 1 + _MANY))
_MOST_COPIES = 64
_RANDOM_BLOCK = 1 << 17  # elements drawn afresh; longer arrays repeat them


@dataclass(frozen=True)
class ModuleToMeasure:
    """A StableHLO module and what its inputs are like.

    `ranges` gives the values of some inputs by position; others get floats of magnitude 0.25 to
    1.25 with random signs, integers 1 to 7 and random booleans. `reuse_bytes` says how far some
    inputs are from the processor: calls take copies of them in turns, of so many bytes in all for
    the most distant input. `positive_inputs` are symmetric
    positive definite matrices, so that factorisations and solves meet neither failure nor overflow.
    The module does `times` what is measured.
    """

    source: ModuleSource
    ranges: Mapping[int, Range] = field(default_factory=dict)
    reuse_bytes: Mapping[int, int] = field(default_factory=dict)
    positive_inputs: frozenset[int] = frozenset()
    times: int = 1


@dataclass(frozen=True)
class Measurement:
    """How long what a module does takes, in microseconds, or why it could not be measured.

    `time_us` has the overhead of an empty call (or the time of `beside`) taken off, and is the
    share of one time where the module does it several times; it is 0 where calls cannot be told
    from such that do nothing else. `spread` is the
    interquartile range of the batches relative to `time_us`; `error` is set (and `time_us` is NaN)
    on a failure. `cores` of this device were at work on average.
    """

    time_us: float
    spread: float
    repetitions: int
    compile_s: float
    error: str | None = None
    cores: float = 1.0


def measure_modules(
    modules: Sequence[ModuleToMeasure | ModuleSource],
    *,
    time_budget_s: float,
    device: jax.Device | None = None,
    milliseconds_per_module: float = 24.0,
    pin_to_one_core: bool = False,
    compile_threads: int = 2,
    beside: Beside | None = None,
    clock: Clock = time.perf_counter,
) -> list[Measurement | None]:
    """Compile and time each module; None for those that the time budget did not reach.

    A module that fails to parse, compile or run gives a `Measurement` with an `error`. With
    `pin_to_one_core` (Linux), all threads of this process share one core while timing, which gives
    steadier prices on a busy machine, of all the work rather than of its longest part. `beside`
    makes modules that do only what all the others do besides, with a number of inputs and outputs:
    the time that such a module takes is taken off.
    """
    device = default_device() if device is None else device
    deadline = time.perf_counter() + time_budget_s
    run = _Run(
        device, deadline, milliseconds_per_module / 1e3, _Overhead(beside, device, clock), clock
    )
    requests = [_as_request(module) for module in modules]
    results: list[Measurement | None] = [None] * len(requests)
    pool = ThreadPoolExecutor(compile_threads, thread_name_prefix="saturax-compile")
    try:
        for start in range(0, len(requests), MODULES_PER_GROUP):
            if run.remaining_s() <= 0:
                break
            group = dict(enumerate(requests[start : start + MODULES_PER_GROUP], start))
            compiled = _compile_group(group, pool, run, results)
            programs = _with_inputs(compiled, group, run, results)
            with pinned_to_one_core(pin_to_one_core), no_garbage_collection():
                _time_group(programs, run, results)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return results


@dataclass(frozen=True)
class _Run:
    """What all groups of one call share."""

    device: jax.Device
    deadline: float
    seconds_per_module: float
    overhead: _Overhead
    clock: Clock

    def remaining_s(self) -> float:
        return self.deadline - time.perf_counter()


@dataclass(frozen=True)
class _Compiled:
    executable: Executable
    inputs: tuple[TensorType, ...]
    compile_s: float


@dataclass(frozen=True)
class _Timed:
    program: TimedProgram
    times: int
    compile_s: float


def _as_request(module: ModuleToMeasure | ModuleSource) -> ModuleToMeasure:
    return module if isinstance(module, ModuleToMeasure) else ModuleToMeasure(module)


def _compile(source: ModuleSource, device: jax.Device) -> _Compiled:
    started = time.perf_counter()
    module = parse_module(source)
    signature = module_signature(module)
    executable = compile_module(without_donation(module), device)
    return _Compiled(executable, signature.inputs, time.perf_counter() - started)


class _Overhead:
    """What a call takes besides: an empty call, or the modules of `beside`."""

    def __init__(self, beside: Beside | None, device: jax.Device, clock: Clock) -> None:
        self._programs: dict[tuple[int, int], TimedProgram] = {}
        modules = {} if beside is None else {arity: beside(*arity) for arity in _ARITIES}
        for arity, module in modules.items():
            compiled = _compile(module, device)
            request = ModuleToMeasure(b"")
            lists = _InputStore(device).argument_lists(compiled.inputs, request)
            self._programs[arity] = TimedProgram(compiled.executable, lists, clock, queued=True)
        self._empty = None if modules else empty_program(device, clock, queued=True)

    def run(self) -> None:
        """Measure once more."""
        if self._empty is not None:
            self._empty.restart()
            self._empty.run(EMPTY_CALL_S)
        for program in self._programs.values():
            program.run(_OVERHEAD_S)

    def timing(self, inputs: int, outputs: int) -> Timing:
        """Of a call with so many inputs and outputs, which each take some time to hand over."""
        if self._empty is not None:
            return self._empty.timing() or Timing(0.0, 0.0, 0)
        timings = [self._programs[arity].timing() for arity in _ARITIES]
        known = [timing for timing in timings if timing is not None]
        return Timing(
            _overhead(inputs, outputs, *(timing.seconds for timing in known)),
            max(timing.spread for timing in known),
            min(timing.repetitions for timing in known),
            _overhead(inputs, outputs, *(timing.computed_s for timing in known)),
        )


def _overhead(inputs: int, outputs: int, plain: float, many_inputs: float, many: float) -> float:
    per_input = max((many_inputs - plain) / _MANY, 0.0)
    per_output = max((many - many_inputs) / _MANY, 0.0)
    return plain + per_input * (inputs - 1) + per_output * (outputs - 1)


def _compile_group(
    group: Mapping[int, ModuleToMeasure],
    pool: ThreadPoolExecutor,
    run: _Run,
    results: list[Measurement | None],
) -> dict[int, _Compiled]:
    """Compile until done, or until there is just time to measure what is compiled."""
    futures: dict[int, Future[_Compiled]] = {
        index: pool.submit(_compile, request.source, run.device) for index, request in group.items()
    }
    pending = set(futures.values())
    while pending:
        reserve_s = 2 * run.seconds_per_module * (len(futures) - len(pending) + 1)
        done, pending = wait(pending, max(0.0, run.remaining_s() - reserve_s), "FIRST_COMPLETED")
        if not done:
            break
    # What XLA has begun cannot be stopped, and timing beside it would be wrong.
    started = [future for future in pending if not future.cancel()]
    wait(started, max(0.0, run.remaining_s()))
    compiled: dict[int, _Compiled] = {}
    for index, future in futures.items():
        if future.cancelled() or not future.done():
            continue
        try:
            compiled[index] = future.result()
        except ModuleError as error:
            results[index] = _failure(error)
    return compiled


def _with_inputs(
    compiled: Mapping[int, _Compiled],
    group: Mapping[int, ModuleToMeasure],
    run: _Run,
    results: list[Measurement | None],
) -> dict[int, _Timed]:
    """Programs with their inputs on the device, as far as there is time to draw those."""
    inputs = _InputStore(run.device)
    programs: dict[int, _Timed] = {}
    for index, each in compiled.items():
        if run.remaining_s() <= 0:
            break
        try:
            arguments = inputs.argument_lists(each.inputs, group[index])
        except (KeyError, TypeError, ValueError, MemoryError) as error:
            results[index] = _failure(error, each.compile_s)
        else:
            program = TimedProgram(each.executable, arguments, run.clock, queued=True)
            programs[index] = _Timed(program, group[index].times, each.compile_s)
    return programs


def _time_group(
    programs: Mapping[int, _Timed],
    run: _Run,
    results: list[Measurement | None],
) -> None:
    if not programs:
        return
    failed: set[int] = set()
    spent_s = dict.fromkeys(programs, 0.0)
    for done in range(_ROUNDS):
        run.overhead.run()
        for index, timed in programs.items():
            has_enough = spent_s[index] > _ENOUGH_SHARES * run.seconds_per_module
            if index in failed or run.remaining_s() <= 0:
                continue
            if has_enough and done >= _ENOUGH_ROUNDS:
                continue
            started = run.clock()
            try:
                timed.program.run(run.seconds_per_module / _ROUNDS)
            except (jax.errors.JaxRuntimeError, ValueError, RuntimeError, MemoryError) as error:
                failed.add(index)
                results[index] = _failure(error, timed.compile_s)
            spent_s[index] += run.clock() - started
    for index, timed in programs.items():
        timing = timed.program.timing()
        if index not in failed and timing is not None:
            besides = run.overhead.timing(*timed.program.arity)
            results[index] = _measurement(timed, timing, besides, run.device.platform == "cpu")


def _measurement(timed: _Timed, timing: Timing, besides: Timing, is_cpu: bool) -> Measurement:
    seconds = timing.undisturbed_s if is_cpu else timing.seconds
    least_s = max(besides.upper_quartile_s, (1 + _TELLING_SHARE) * besides.seconds)
    own_s = seconds - besides.seconds if seconds > least_s else 0.0
    computed_s = timing.computed_s - besides.computed_s
    return Measurement(
        time_us=1e6 * own_s / timed.times,
        spread=timing.spread,
        repetitions=timing.repetitions * timed.times,
        compile_s=timed.compile_s,
        cores=max(1.0, computed_s / own_s) if own_s else 1.0,
    )


def _failure(error: Exception, compile_s: float = 0.0) -> Measurement:
    return Measurement(math.nan, math.nan, 0, compile_s, f"{type(error).__name__}: {error}")


class _InputStore:
    """Random arrays on the device, shared by the modules of a group that want the same type."""

    def __init__(self, device: jax.Device) -> None:
        self._device = device
        self._drawn: dict[tuple[TensorType, Range | None, bool, int], np.ndarray] = {}
        self._arrays: dict[tuple[Hashable, int], jax.Array] = {}

    def argument_lists(
        self, types: Sequence[TensorType], request: ModuleToMeasure
    ) -> list[list[jax.Array]]:
        """One list of arguments, or several that differ in the distant inputs."""
        distant_bytes = sum(types[index].bytes for index in request.reuse_bytes)
        copies = 1
        if distant_bytes:
            wanted = math.ceil(max(request.reuse_bytes.values()) / distant_bytes)
            # What is as large as the distance is read in turns with itself.
            copies = min(_MOST_COPIES, wanted)
        lists: list[list[jax.Array]] = []
        for copy in range(copies):
            used: dict[TensorType, int] = {}
            arguments = []
            for index, type_ in enumerate(types):
                # Two inputs of one type are different arrays, as they would be in a program.
                occurrence = used.get(type_, 0)
                used[type_] = occurrence + 1
                is_positive = index in request.positive_inputs
                key = (type_, request.ranges.get(index), is_positive, occurrence)
                arguments.append(self._array(key, copy if index in request.reuse_bytes else 0))
            lists.append(arguments)
        return lists

    def _array(self, key: tuple[TensorType, Range | None, bool, int], copy: int) -> jax.Array:
        """Numbers that are drawn once, at an address of their own in each copy."""
        if (key, copy) not in self._arrays:
            if key not in self._drawn:
                type_, limits, is_positive, number = key
                array = random_array(type_, limits, number)
                self._drawn[key] = positive_definite(array) if is_positive else array
            drawn = self._drawn[key]
            # What is put on a CPU may stay where it is, so that one copy is not copied.
            self._arrays[key, copy] = put_on_device(drawn.copy() if copy else drawn, self._device)
        return self._arrays[key, copy]


def random_array(type_: TensorType, limits: Range | None = None, seed: int = 0) -> np.ndarray:
    """Numbers as programs see them: no zeros, denormals or overflow unless `limits` asks for it."""
    generator = np.random.default_rng(seed)
    count = min(type_.size, _RANDOM_BLOCK)
    values: np.ndarray
    if is_float(type_.dtype) or is_complex(type_.dtype):
        values = _random_floats(generator, count, limits)
        if is_complex(type_.dtype):
            values = values + 1j * _random_floats(generator, count, limits)
    elif type_.dtype == "i1":
        values = generator.integers(0, 2, count)
    else:
        low, high = (1, 8) if limits is None else (int(limits[0]), int(limits[1]))
        if type_.dtype in ("i2", "ui2"):
            low, high = 0, 2
        values = generator.integers(low, max(high, low + 1), count)
    values = values.astype(numpy_dtype(type_.dtype))
    return _repeated(values, type_.shape)


def _repeated(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values again and again; `np.resize` takes ten times as long for a table of embeddings."""
    array = np.empty(math.prod(shape), values.dtype)
    whole = array.size // max(values.size, 1)
    array[: whole * values.size].reshape(whole, values.size)[:] = values
    array[whole * values.size :] = values[: array.size - whole * values.size]
    return array.reshape(shape)


def positive_definite(matrices: np.ndarray) -> np.ndarray:
    """Hermitian matrices with these elements, about, and a diagonal that dominates them."""
    adjoint = np.conj(np.swapaxes(matrices, -1, -2))
    shift = 2 * matrices.shape[-1] * np.eye(matrices.shape[-1])
    dominant: np.ndarray = ((matrices + adjoint) / 2 + shift).astype(matrices.dtype)
    return dominant


def _random_floats(generator: np.random.Generator, count: int, limits: Range | None) -> np.ndarray:
    low, high = (0.25, 1.25) if limits is None else limits
    values: np.ndarray = generator.uniform(low, high, count)
    return values * generator.choice((-1.0, 1.0), count) if limits is None else values
