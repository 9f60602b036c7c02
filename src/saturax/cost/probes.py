"""Small programs whose times reveal what a device can do; `device.calibrate` runs them.

A rate is the slope between a short and a long program, so that calls, kernels and memory, which
both have, cancel out.
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
from saturax.jaxlib_compat import Executable, compile_module, optimized_hlo

# One step of a chain v -> f(v) that stays in the middle of f's domain when repeated for ever, with
# p in [1, 1.5) and q in [0.5, 1); a function other than `arithmetic` comes with one cheap addition.
_STEPS: Mapping[str, str] = {
    "arithmetic": "%a = stablehlo.multiply %v, %p : T\n%r = stablehlo.add %a, %q : T",
    "divide": "%a = stablehlo.add %v, %q : T\n%r = stablehlo.divide %p, %a : T",
    "remainder": "%a = stablehlo.add %v, %p : T\n%r = stablehlo.remainder %a, %q : T",
    "power": "%a = stablehlo.add %v, %q : T\n%r = stablehlo.power %p, %a : T",
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
    # q is at least 4, so that the next divisor is positive
    "divide": "%a = stablehlo.divide %p, %v : T\n%r = stablehlo.add %a, %q : T",
}
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
    def is_cpu(self) -> bool:
        """Whether the device is the host."""
        return self.device.platform == "cpu"

    def seconds(self, executable: Executable, arrays: Sequence[np.ndarray]) -> float:
        """Seconds of one call."""
        arguments = [jax.device_put(array, self.device) for array in arrays]
        program = TimedProgram(executable, [arguments])
        program.run(self.milliseconds / 2e3)
        program.run(self.milliseconds / 2e3)
        timing = program.timing()
        assert timing is not None  # it has just run
        return timing.seconds

    def slope(
        self,
        short: tuple[Executable, int],
        long: tuple[Executable, int],
        arrays: Sequence[np.ndarray],
    ) -> float:
        """Seconds for each further step from the short to the long program; positive."""
        (first, few), (second, many) = short, long
        difference = self.seconds(second, arrays) - self.seconds(first, arrays)
        return max(difference, 1e-9) / (many - few)


def elementwise_rate(bench: Bench, function: str, dtype: str, *, pin: bool) -> float:
    """Elements per microsecond of one elementwise function, operands in cache.

    With `pin`, on one core. `arithmetic` is the mean of an addition and a multiplication.
    """
    type_ = TensorType((1 << 15 if bench.is_cpu else 1 << 22,), dtype)
    # XLA splits long chains of expensive functions into several kernels: keep those short.
    few, many = (4, 36) if function == "arithmetic" else (1, 6)
    programs = [
        (compile_module(_chain(function, type_, steps), bench.device), steps)
        for steps in (few, many)
    ]
    arrays = _chain_inputs(type_)
    with pinned_to_one_core(pin):
        step_s = bench.slope(programs[0], programs[1], arrays)
    return type_.size / (step_s * 1e6 / (2 if function == "arithmetic" else 1))


def parallel_gain(bench: Bench) -> float:
    """How many times faster a long elementwise kernel is on all cores than on one."""
    type_ = TensorType((1 << 18,), "f32")
    program = compile_module(_chain("exponential", type_, 4), bench.device)
    arrays = _chain_inputs(type_)
    all_cores_s = bench.seconds(program, arrays)
    with pinned_to_one_core() as pinned:
        return bench.seconds(program, arrays) / all_cores_s if pinned else 1.0


def bandwidth(bench: Bench, working_set_bytes: int) -> float:
    """GB/s of y := x·p + y repeated on two arrays that fill the working set together."""
    type_ = TensorType((max(64, working_set_bytes // 8),), "f32")
    program = compile_module(_repeated_update(type_), bench.device)
    arrays = [random_array(type_, _P, seed) for seed in range(2)]
    bytes_moved = 3 * type_.bytes
    # About a millisecond at 50 GB/s for the short run; at least a few passes over large arrays.
    few = max(3, int(1e-3 * 50e9 / bytes_moved))
    short_s, long_s = (
        bench.seconds(program, [np.array(count, np.int32), *arrays]) for count in (few, 3 * few)
    )
    return bytes_moved / (max(long_s - short_s, 1e-9) / (2 * few)) / 1e9


def fresh_memory_seconds_per_byte(bench: Bench, memory_gb_s: float, empty_call_s: float) -> float:
    """Extra seconds for each byte of a large result: the system has to hand out new pages."""
    type_ = TensorType((1 << 24,), "f32")
    program = compile_module(_chain("arithmetic", type_, 1), bench.device)
    moved_s = 4 * type_.bytes / (memory_gb_s * 1e9)
    extra_s = bench.seconds(program, _chain_inputs(type_)) - moved_s - empty_call_s
    return max(extra_s, 0.0) / type_.bytes


def kernel_seconds(bench: Bench) -> float:
    """Seconds for each further small fusion in a program."""
    type_ = TensorType((64,), "f32")
    programs = []
    for steps in (2, 34):
        program = compile_module(_separate_kernels(type_, steps), bench.device)
        programs.append((program, len(re.findall(r" fusion\(", optimized_hlo(program)))))
    if programs[0][1] >= programs[1][1]:
        raise ValueError("this XLA fuses the kernels that were to stay apart")
    return bench.slope(programs[0], programs[1], [random_array(type_)])


def library_kernel_seconds(bench: Bench) -> float:
    """Seconds for each further small matrix product in a program."""
    type_ = TensorType((_LIBRARY_SIDE, _LIBRARY_SIDE), "f32")
    programs = [
        (compile_module(_dot_chain(type_, steps), bench.device), steps) for steps in (1, 17)
    ]
    return bench.slope(
        programs[0], programs[1], [random_array(type_, (0.01, 0.1), i) for i in (0, 1)]
    )


def parallel_start_seconds(bench: Bench, empty_call_s: float, seconds_on_one_core: float) -> float:
    """Seconds lost when a kernel is split over threads; the work itself is given for one core."""
    type_ = TensorType((1 << 13,), "f32")
    program = compile_module(_chain("tanh", type_, 1), bench.device)
    return max(
        bench.seconds(program, _chain_inputs(type_)) - empty_call_s - seconds_on_one_core, 0.0
    )


def dot_rate(bench: Bench, dtype: str, side: int) -> float:
    """Gflop/s of one large square matrix product on the whole device."""
    type_ = TensorType((side, side), dtype)
    program = compile_module(_dot_chain(type_, 1), bench.device)
    limits: Range | None = (0.25, 1.25) if is_float(dtype) else None
    seconds = bench.seconds(program, [random_array(type_, limits, seed) for seed in range(2)])
    return 2 * side**3 / seconds / 1e9


def _chain_inputs(type_: TensorType) -> list[np.ndarray]:
    limits = (_Q, _P, _Q) if is_float(type_.dtype) else (_INTEGER_Q, _INTEGER_P, _INTEGER_Q)
    return [random_array(type_, each, seed) for seed, each in enumerate(limits)]


def _chain(function: str, type_: TensorType, steps: int) -> str:
    """`steps` times the function on v, with operands p and q."""
    table = _STEPS if is_float(type_.dtype) else _INTEGER_STEPS
    lines = []
    for number in range(steps):
        names = {"v": f"v{number}", "a": f"a{number}", "r": f"v{number + 1}"}
        lines.append(
            re.sub(r"%([var])\b", lambda match, names=names: f"%{names[match[1]]}", table[function])
        )
    return _with_type(
        "func.func public @main(%v0: T, %p: T, %q: T) -> T {\n"
        + "\n".join(lines)
        + f"\nreturn %v{steps} : T\n}}",
        type_,
    )


def _repeated_update(type_: TensorType) -> str:
    return _with_type(
        """
func.func public @main(%n: tensor<i32>, %x: T, %y: T) -> T {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %half = stablehlo.constant dense<5.0e-01> : T
  %end:2 = stablehlo.while(%i = %zero, %v = %y) : tensor<i32>, T
  cond {
    %more = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %more : tensor<i1>
  } do {
    %next = stablehlo.add %i, %one : tensor<i32>
    %scaled = stablehlo.multiply %v, %half : T
    %sum = stablehlo.add %scaled, %x : T
    stablehlo.return %next, %sum : tensor<i32>, T
  }
  return %end#1 : T
}""",
        type_,
    )


def _separate_kernels(type_: TensorType, steps: int) -> str:
    # XLA does not compute an expensive function twice, so a result that is also read later stays.
    lines = ["%t0 = stablehlo.tanh %v : T"]
    for step in range(1, steps):
        lines.append(f"%t{step} = stablehlo.tanh %t{step - 1} : T")
    names = ", ".join(f"%t{step}" for step in range(steps))
    results = ", ".join(["T"] * steps)
    return _with_type(
        f"func.func public @main(%v: T) -> ({results}) {{\n"
        + "\n".join(lines)
        + f"\nreturn {names} : {results}\n}}",
        type_,
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
