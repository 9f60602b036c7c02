"""Small programs whose times reveal what a device can do; `device.calibrate` runs them.

A rate is the slope between a short and a long run of a loop, so that the cost of calling cancels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from saturax.cost.measure import Range, random_array
from saturax.cost.timing import TimedProgram, pinned_to_one_core
from saturax.graph.types import TensorType, is_float
from saturax.jaxlib_compat import Executable, compile_module, put_on_device

# One step of a chain v -> f(v) that stays in the middle of f's domain when repeated for ever, with
# p in [1, 1.5) and q in [0.5, 1); a function other than `arithmetic` comes with one cheap addition.
_STEPS: Mapping[str, str] = {
    "arithmetic": "%a = stablehlo.multiply %v, %q : T\n%r = stablehlo.add %a, %p : T",
    "add": "%r = stablehlo.add %v, %p : T",
    "divide": "%a = stablehlo.add %v, %q : T\n%r = stablehlo.divide %p, %a : T",
    "remainder": "%a = stablehlo.add %v, %p : T\n%r = stablehlo.remainder %a, %q : T",
    "power": "%a = stablehlo.add %v, %p : T\n%r = stablehlo.power %q, %a : T",
    "exponential": "%a = stablehlo.subtract %q, %v : T\n%r = stablehlo.exponential %a : T",
    "exponential_minus_one": (
        "%a = stablehlo.subtract %q, %v : T\n%r = stablehlo.exponential_minus_one %a : T"
    ),
    "log": "%a = stablehlo.add %v, %p : T\n%r = stablehlo.log %a : T",
    "log_plus_one": "%a = stablehlo.add %v, %q : T\n%r = stablehlo.log_plus_one %a : T",
    "erf": "%a = stablehlo.add %v, %q : T\n%r = chlo.erf %a : T -> T",
    **{
        name: f"%a = stablehlo.add %v, %q : T\n%r = stablehlo.{name} %a : T"
        for name in ("sqrt", "rsqrt", "cbrt", "tanh", "logistic", "sine", "cosine")
    },
}
_INTEGER_STEPS: Mapping[str, str] = {
    "arithmetic": "%a = stablehlo.multiply %v, %p : T\n%r = stablehlo.xor %a, %q : T",
    "add": "%r = stablehlo.add %v, %p : T",
    # q is at least 4, so that the next divisor is positive
    "divide": "%a = stablehlo.divide %p, %v : T\n%r = stablehlo.add %a, %q : T",
}
# XLA:CPU vectorises this one, and not a plain addition of two arrays, which is 6 times slower.
_STREAM = (
    "%half = stablehlo.constant dense<5.0e-01> : T\n"
    "%a = stablehlo.add %v, %p : T\n%r = stablehlo.multiply %a, %half : T"
)
_TURNS = 3  # short and long programs alternate; the best turn of each counts
_SHORT_RUN_S = 3e-4  # long against the call itself, which takes some 10 µs
_MOST_PASSES = 1 << 16
_GAIN_TURNS, _GAIN_PASSES = 15, 16
FLOAT_FUNCTIONS = tuple(_STEPS)
INTEGER_FUNCTIONS = tuple(_INTEGER_STEPS)

_P: Range = (1.0, 1.5)
_Q: Range = (0.5, 1.0)
_INTEGER_P: Range = (3, 1000)
_INTEGER_Q: Range = (4, 1000)
_LIBRARY_SIDE = 16  # a dot this small is all overhead


@dataclass(frozen=True)
class Bench:
    """Where probes run, and how many milliseconds they may spend on timing one program."""

    device: jax.Device
    milliseconds: float = 12.0

    @property
    def elements(self) -> int:
        """Length of arrays that keep the device busy and yet fit its caches."""
        return 1 << 15 if self.device.platform == "cpu" else 1 << 22

    def type_of(self, dtype: str) -> TensorType:
        """An array of so many elements; of wide ones fewer, or XLA splits their loops over cores.

        A loop in several parts that share one core took 42 µs in place of 6.
        """
        bytes_each = TensorType((), dtype).bytes
        return TensorType((self.elements * 4 // max(bytes_each, 4),), dtype)

    def seconds(self, module: str, arrays: Sequence[np.ndarray]) -> float:
        """Seconds of one call of a module."""
        program = self._program(compile_module(module, self.device), arrays)
        return min(self.turn(program) for _ in range(_TURNS))

    def seconds_per_pass(self, module: str, arrays: Sequence[np.ndarray]) -> float:
        """Seconds of one pass of a loop whose count is the module's first argument."""
        executable = compile_module(module, self.device)

        def program(passes: int) -> TimedProgram:
            return self._program(executable, [np.array(passes, np.int32), *arrays])

        passes = 2
        while program(passes).once() < _SHORT_RUN_S and passes < _MOST_PASSES:
            passes *= 4
        short, long = program(passes), program(4 * passes)
        turns = [(self.turn(short), self.turn(long)) for _ in range(_TURNS)]
        short_s, long_s = min(each[0] for each in turns), min(each[1] for each in turns)
        # What a call costs besides is a small part of either run: on a busy machine, where a slow
        # spell can hit all short runs, the difference is not believed to be less than this.
        return max((long_s - short_s) / (3 * passes), 0.5 * long_s / (4 * passes))

    def _program(self, executable: Executable, arrays: Sequence[np.ndarray]) -> TimedProgram:
        return TimedProgram(executable, [[put_on_device(array, self.device) for array in arrays]])

    def loop(self, module: str, arrays: Sequence[np.ndarray], passes: int) -> TimedProgram:
        """A loop whose count is the module's first argument, to be timed in turns with others."""
        executable = compile_module(module, self.device)
        return self._program(executable, [np.array(passes, np.int32), *arrays])

    def turn(self, program: TimedProgram) -> float:
        """Seconds of a call, timed for a part of the budget; forgets earlier turns."""
        program.restart()
        program.run(self.milliseconds / 1e3 / _TURNS)
        timing = program.timing()
        assert timing is not None  # it has just run
        return timing.seconds


def elementwise_rate(bench: Bench, function: str, dtype: str, *, pin: bool) -> float:
    """Elements per microsecond of one elementwise function, operands in cache.

    With `pin`, on one core. `arithmetic` is the mean of an addition and a multiplication in a long
    fusion; other functions are alone in their fusion, as they mostly are in programs: XLA's code
    for several in a row is up to three times slower for each of them.
    """
    type_ = bench.type_of(dtype)
    arrays = _chain_inputs(type_)
    # One step adds and multiplies. Chains of half-precision numbers take long to compile; a single
    # step waits for memory, which hides its arithmetic and that of some more.
    few, many = 0, 1
    if function == "arithmetic":
        few, many = (9, 65) if type_.bytes >= 4 * type_.size else (9, 33)
    with pinned_to_one_core(pin):
        step_s = bench.seconds_per_pass(_repeated(function, type_, many), arrays)
        if few:
            short_s = bench.seconds_per_pass(_repeated(function, type_, few), arrays)
            # Nearly three quarters of the long chain, unless something disturbed one of the two.
            step_s = max(step_s - short_s, 0.5 * step_s) / (2 * (many - few))
    return type_.size / (step_s * 1e6)


def parallel_gain(bench: Bench, function: str) -> float:
    """How many times faster a long elementwise kernel is on all cores than on one.

    All cores and one take turns. What disturbs a core makes them look like one, for longer than the
    best of some turns can hide: eight times in a row gave 0.9 to 2.1, the upper quartile of the
    turns' ratios 1.4 to 2.0.
    """
    type_ = TensorType((8 * bench.elements,), "f32")
    program = bench.loop(_repeated(function, type_, 1), _chain_inputs(type_), _GAIN_PASSES)
    ratios = []
    for _ in range(_GAIN_TURNS):
        all_cores_s = bench.turn(program)
        with pinned_to_one_core() as pinned:
            if not pinned:
                return 1.0
            ratios.append(bench.turn(program) / all_cores_s)
    return max(1.0, float(np.quantile(ratios, 0.75)))


def bandwidth(bench: Bench, working_set_bytes: int) -> float:
    """GB/s of v := (v + p)·½ repeated on two arrays that fill the working set together."""
    type_ = TensorType((max(64, working_set_bytes // 8),), "f32")
    pass_s = bench.seconds_per_pass(_repeated("stream", type_, 1), _chain_inputs(type_))
    return 3 * type_.bytes / pass_s / 1e9


def fresh_memory_seconds_per_byte(bench: Bench, memory_gb_s: float, empty_call_s: float) -> float:
    """Extra seconds for each byte of a large result: the system has to hand out new pages."""
    type_ = TensorType((1 << 24,), "f32")
    moved_s = 4 * type_.bytes / (memory_gb_s * 1e9)
    call_s = bench.seconds(_chain("arithmetic", type_, 1), _chain_inputs(type_))
    return max(call_s - moved_s - empty_call_s, 0.0) / type_.bytes


def kernel_seconds(bench: Bench) -> float:
    """Seconds for each further kernel in a program, next to nothing to compute in any of them."""
    few, many = 2, 34
    inputs = [random_array(TensorType((4,), "f32"))]
    short_s, long_s = (bench.seconds(_sorts_and_fusions(steps), inputs) for steps in (few, many))
    return max(long_s - short_s, 0.0) / (2 * (many - few))


def library_kernel_seconds(bench: Bench) -> float:
    """Seconds for each further matrix product in a program, so small that it is all overhead."""
    few, many = 2, 34
    type_ = TensorType((16, 16), "f32")
    inputs = [random_array(type_, (0.01, 0.1), seed) for seed in range(2)]
    short_s, long_s = (bench.seconds(_dot_chain(type_, steps), inputs) for steps in (few, many))
    return max(long_s - short_s, 0.0) / (many - few)


def parallel_start_seconds(bench: Bench, empty_call_s: float) -> float:
    """Seconds lost, once in a call, when work goes to the thread pool rather than runs at once."""
    type_ = TensorType((1 << 14,), "f32")
    module, arrays = _chain("tanh", type_, 1), _chain_inputs(type_)
    work_s = bench.seconds_per_pass(_repeated("tanh", type_, 1), arrays)
    return max(bench.seconds(module, arrays) - empty_call_s - work_s, 0.0)


def dot_rate(bench: Bench, dtype: str, side: int) -> float:
    """Gflop/s of one square matrix product on the whole device."""
    type_ = TensorType((side, side), dtype)
    limits: Range | None = (0.25, 1.25) if is_float(dtype) else None
    inputs = [random_array(type_, limits, seed) for seed in range(2)]
    return 2 * side**3 / bench.seconds(_dot_chain(type_, 1), inputs) / 1e9


def _chain_inputs(type_: TensorType) -> list[np.ndarray]:
    limits = (_Q, _P, _Q) if is_float(type_.dtype) else (_INTEGER_Q, _INTEGER_P, _INTEGER_Q)
    return [random_array(type_, each, seed) for seed, each in enumerate(limits)]


def _steps(function: str, type_: TensorType, count: int) -> str:
    """Lines that compute %v<count> from %v0, with operands %p and %q."""
    table = _STEPS if is_float(type_.dtype) else _INTEGER_STEPS
    step = _STREAM if function == "stream" else table[function]
    return "\n".join(
        re.sub(r"%([va])\b", rf"%\g<1>{number}", step).replace("%r", f"%v{number + 1}")
        for number in range(count)
    )


def _chain(function: str, type_: TensorType, count: int) -> str:
    return _with_type(
        f"""
func.func public @main(%v0: T, %p: T, %q: T) -> T {{
  {_steps(function, type_, count)}
  return %v{count} : T
}}""",
        type_,
    )


def _repeated(function: str, type_: TensorType, count: int) -> str:
    """A chain of `count` steps in a loop: what a kernel costs inside a program.

    A call of its own would show the thread switch and the cold address translation behind it.
    """
    return _with_type(
        f"""
func.func public @main(%n: tensor<i32>, %start: T, %p: T, %q: T) -> T {{
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %end:2 = stablehlo.while(%i = %zero, %v0 = %start) : tensor<i32>, T
  cond {{
    %more = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %more : tensor<i1>
  }} do {{
    %next = stablehlo.add %i, %one : tensor<i32>
    {_steps(function, type_, count)}
    stablehlo.return %next, %v{count} : tensor<i32>, T
  }}
  return %end#1 : T
}}""",
        type_,
    )


def _sorts_and_fusions(count: int) -> str:
    # Nothing fuses with a sort, so each step is two kernels.
    lines = [
        f"""%s{step} = "stablehlo.sort"(%v{step}) ({{
  ^bb0(%a{step}: tensor<f32>, %b{step}: tensor<f32>):
    %c{step} = stablehlo.compare LT, %a{step}, %b{step} : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %c{step} : tensor<i1>
  }}) {{dimension = 0 : i64}} : (T) -> T
  %v{step + 1} = stablehlo.cosine %s{step} : T"""
        for step in range(count)
    ]
    return _with_type(
        "func.func public @main(%v0: T) -> T {\n"
        + "\n".join(lines)
        + f"\nreturn %v{count} : T\n}}",
        TensorType((4,), "f32"),
    )


def _dot_chain(type_: TensorType, steps: int) -> str:
    lines = [
        f"%v{step + 1} = stablehlo.dot_general %v{step}, %w, contracting_dims = [1] x [0] "
        ": (T, T) -> T"
        for step in range(steps)
    ]
    return _with_type(
        "func.func public @main(%v0: T, %w: T) -> T {\n"
        + "\n".join(lines)
        + f"\nreturn %v{steps} : T\n}}",
        type_,
    )


def _with_type(text: str, type_: TensorType) -> str:
    return re.sub(r"\bT\b", f"tensor<{type_}>", text)
