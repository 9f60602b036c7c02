"""Modules are timed within the budget; what cannot be measured says why."""

import gc
import math
import os
import statistics
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np
import pytest

from saturax.collector import collector_paused, collector_relieved, no_garbage_collection
from saturax.cost import measure
from saturax.cost.measure import (
    Measurement,
    ModuleToMeasure,
    measure_modules,
    random_array,
)
from saturax.cost.timing import (
    Clock,
    TimedProgram,
    Timing,
    pinned_to_one_core,
    time_call,
    time_empty_call,
)
from saturax.graph.types import TensorType
from saturax.jaxlib_compat import compile_module, default_device, put_on_device


def dot(size: int, attributes: str = "") -> str:
    kind = f"tensor<{size}x{size}xf32>"
    return f"""func.func public @main(%0: {kind} {attributes}, %1: {kind}) -> {kind} {{
      %2 = stablehlo.dot_general %0, %1, contracting_dims = [1] x [0] : ({kind}, {kind}) -> {kind}
      return %2 : {kind} }}"""


def measured(result: Measurement | None) -> Measurement:
    assert result is not None
    assert result.error is None, result.error
    return result


def test_larger_programs_take_longer() -> None:
    small, large = map(measured, measure_modules([dot(16), dot(512)], time_budget_s=20))
    assert 0 <= small.time_us < large.time_us
    assert large.time_us > 100
    assert small.repetitions > large.repetitions >= 3
    assert large.compile_s > 0
    assert large.spread >= 0


class _Program:
    """Takes so many seconds a round by a clock of its own."""

    arity = (1, 1)

    def __init__(self, seconds: float, now: list[float]) -> None:
        self.seconds, self.now, self.rounds = seconds, now, 0

    def run(self, budget_s: float) -> None:
        self.now[0] += self.seconds
        self.rounds += 1

    def timing(self) -> Timing:
        return Timing(self.seconds, 0.0, self.rounds)


def test_long_calls_take_part_in_fewer_rounds() -> None:
    now = [0.0]
    programs = {
        index: measure._Timed(cast(TimedProgram, _Program(seconds, now)), 1, 0.0)
        for index, seconds in enumerate((0.01, 0.3))
    }
    overhead: Any = SimpleNamespace(run=lambda: None, timing=lambda *arity: Timing(0.0, 0.0, 0))
    run = measure._Run(default_device(), math.inf, 0.024, overhead, lambda: now[0])
    results: list[Measurement | None] = [None, None]
    measure._time_group(programs, run, results)
    assert [measured(result).repetitions for result in results] == [6, 2]


def test_donated_inputs_survive() -> None:
    (result,) = measure_modules([dot(8, "{tf.aliasing_output = 0 : i32}")], time_budget_s=20)
    assert measured(result).repetitions > 10


def test_failures_are_results() -> None:
    unknown = """func.func public @main(%0: tensor<2xf32>) -> tensor<2xf32> {
      %1 = stablehlo.custom_call @there_is_no_such_function(%0) : (tensor<2xf32>) -> tensor<2xf32>
      return %1 : tensor<2xf32> }"""
    dynamic = "func.func @main(%0: tensor<?xf32>) -> tensor<?xf32> { return %0 : tensor<?xf32> }"
    broken, called, sized, good = measure_modules(
        ["module {", unknown, dynamic, dot(8)], time_budget_s=20
    )
    for result, message in (
        (broken, "expected a StableHLO module"),
        (called, "there_is_no_such_function"),
        (sized, "fixed shape"),
    ):
        assert result is not None
        assert result.error is not None
        assert message in result.error
        assert np.isnan(result.time_us)
    measured(good)


def test_no_budget_means_no_results() -> None:
    assert measure_modules([dot(8)] * 3, time_budget_s=0) == [None] * 3
    assert measure_modules([], time_budget_s=1) == []


def test_budget_is_kept_and_cuts_the_tail() -> None:
    started = time.perf_counter()
    results = measure_modules([dot(64 + index) for index in range(200)], time_budget_s=0.5)
    # One compilation that has begun cannot be stopped.
    assert time.perf_counter() - started < 1.5
    assert len(results) == 200
    assert results[0] is not None
    assert results[-1] is None


def test_inputs_are_drawn_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def slowly(*arguments: Any) -> np.ndarray:
        drawn.append(arguments)
        time.sleep(0.5)
        return random_array(*arguments)

    monkeypatch.setattr(measure, "random_array", slowly)
    results = measure_modules([dot(64 + index) for index in range(16)], time_budget_s=2.0)
    assert len(drawn) <= 6  # of 32
    assert results[-1] is None


def test_values_of_inputs() -> None:
    seen: list[np.ndarray] = []

    class Spy(TimedProgram):
        def __init__(
            self,
            executable: object,
            argument_lists: list[list[jax.Array]],
            clock: Clock,
            *,
            queued: bool,
        ) -> None:
            # The empty call is timed in the same way; its argument is a scalar.
            seen.extend(np.asarray(array) for array in argument_lists[0])
            super().__init__(executable, argument_lists, clock, queued=queued)  # type: ignore[arg-type]

    module = """func.func public @main(
      %0: tensor<64xi32>, %1: tensor<64xi32>, %2: tensor<64xf64>,
      %3: tensor<64xf64>, %4: tensor<8xi1>
    ) -> tensor<64xi32> { return %0 : tensor<64xi32> }"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saturax.cost.measure.TimedProgram", Spy)
        (result,) = measure_modules(
            [ModuleToMeasure(module, ranges={1: (100, 200)})], time_budget_s=20
        )
    measured(result)
    assert seen[0].min() >= 1
    assert seen[0].max() <= 7
    assert seen[1].min() >= 100
    assert seen[1].max() < 200
    assert seen[2].dtype == seen[3].dtype == np.float64
    assert not np.array_equal(seen[2], seen[3])


def test_cold_inputs_are_different_arrays() -> None:
    (result,) = measure_modules(
        [ModuleToMeasure(dot(256), reuse_bytes={1: 64 << 20})], time_budget_s=20
    )
    measured(result)


@pytest.mark.parametrize(
    "dtype", ["f32", "f64", "f16", "bf16", "f8E4M3FN", "complex<f32>", "i4", "ui8", "i64", "i1"]
)
def test_random_arrays(dtype: str) -> None:
    type_ = TensorType((3, 50), dtype)
    array = random_array(type_)
    assert array.shape == (3, 50)
    assert len(np.unique(array.astype(np.complex128))) > 1
    if dtype != "i1":
        assert np.all(array.astype(np.complex128) != 0)
    assert np.all(np.isfinite(array.astype(np.complex128)))
    placed = put_on_device(array, default_device())
    assert placed.dtype == array.dtype
    np.testing.assert_array_equal(random_array(type_), array)
    assert not np.array_equal(random_array(type_, seed=1), array)


def test_random_array_without_elements() -> None:
    assert random_array(TensorType((0, 3), "f32")).shape == (0, 3)
    assert random_array(TensorType((), "f32")).shape == ()


def test_time_call_ignores_outliers() -> None:
    number = 0

    def call() -> None:
        nonlocal number
        number += 1
        time.sleep(0.02 if number % 10 == 5 else 0.001)

    timing = time_call(call, 0.1)
    assert 0.001 <= timing.seconds < 0.01
    assert timing.repetitions >= 3


def test_timed_program_before_and_after() -> None:
    program = TimedProgram(
        compile_module(dot(8)), [[put_on_device(np.ones((8, 8), "f4"), jax.devices()[0])] * 2]
    )
    assert program.timing() is None
    program.run(0.01)
    first = program.timing()
    program.run(0.01)
    second = program.timing()
    assert first is not None
    assert second is not None
    assert second.repetitions > first.repetitions


def test_empty_call_is_short() -> None:
    assert 0 < statistics.median(time_empty_call().seconds for _ in range(3)) < 1e-3


def test_time_computed_is_told_from_time_passed() -> None:
    """As a kernel's work is, however many cores share it, from how long it takes."""

    def compute() -> None:
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass

    asleep, at_work = time_call(lambda: time.sleep(0.002), 0.02), time_call(compute, 0.02)
    assert asleep.computed_s < 0.5 * asleep.seconds
    assert at_work.computed_s == pytest.approx(0.002, rel=0.5)


def test_what_others_take_of_a_call_is_not_its_own() -> None:
    """Two threads shared a call of 1 s for which they computed 0.2; 0.1 s of others' calls stay."""
    assert Timing(1.0, 0.0, 2, computed_s=0.2).undisturbed_s == pytest.approx(0.2, abs=1e-3)
    assert Timing(0.1, 0.0, 2, computed_s=0.19).undisturbed_s == 0.1
    assert Timing(0.1, 0.0, 2).undisturbed_s == 0.1  # computed elsewhere


def test_what_cannot_be_told_from_a_call_is_nothing() -> None:
    timed = measure._Timed(cast(TimedProgram, None), 4, 0.0)

    def microseconds(seconds: float, spread: float) -> float:
        timing, besides = Timing(seconds, 0.0, 9, 5e-5), Timing(2e-5, spread, 9, 2e-5)
        return measure._measurement(timed, timing, besides, is_cpu=True).time_us

    assert microseconds(4e-5, 0.1) == pytest.approx(5.0)
    assert microseconds(4e-5, 1.1) == 0.0  # slow calls without it take longer
    assert microseconds(2.5e-5, 0.0) == 0.0  # hidden behind what prepares the next call
    assert microseconds(1e-5, 0.0) == 0.0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can pin threads")
def test_pinning_is_undone() -> None:
    before = os.sched_getaffinity(0)
    release = threading.Event()
    with pinned_to_one_core() as pinned:
        assert pinned
        assert len(os.sched_getaffinity(0)) == 1
        born_inside = threading.Thread(target=release.wait)
        born_inside.start()
    assert os.sched_getaffinity(0) == before
    assert born_inside.native_id is not None
    assert os.sched_getaffinity(born_inside.native_id) == before
    release.set()
    born_inside.join()


def test_pinning_where_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    with pinned_to_one_core() as pinned:
        assert not pinned
    with pinned_to_one_core(False) as pinned:
        assert not pinned


def test_garbage_collection_comes_back() -> None:
    assert gc.isenabled()
    with no_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_built_stays_frozen_until_the_end() -> None:
    gc.unfreeze()
    with collector_paused():
        pass
    assert not gc.get_freeze_count()
    with collector_relieved():
        with collector_relieved(), collector_paused():
            pass
        assert gc.isenabled()
        assert gc.get_freeze_count()
    assert not gc.get_freeze_count()


def test_what_others_have_frozen_stays_so() -> None:
    gc.freeze()
    try:
        with collector_relieved(), collector_paused():
            pass
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()
