"""Which device this is, and what it can do: bandwidth, overheads and rates."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

from saturax.cost.complex_functions import REAL_PARTS
from saturax.jaxlib_compat import default_device

CALIBRATION_VERSION = 3
CALIBRATION_DOCUMENT = f"calibration {CALIBRATION_VERSION}"
# Flags that say what XLA writes or checks, not what it compiles.
_IRRELEVANT_FLAGS = re.compile(r"--?xla_(dump|hlo_dump|hlo_profile|gpu_dump|vlog|log|flags)")
# Instruction sets that decide the width and the kind of vector code.
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")

_NOTES = ("defaulted", "failed", "rejected")


@dataclass(frozen=True)
class DeviceIdentity:
    """All that a measured time depends on besides the program."""

    platform: str
    kind: str
    cores: int
    threads: int
    jaxlib_version: str
    flags: tuple[str, ...]

    @property
    def key(self) -> str:
        """One line of text that is equal exactly when prices can be shared."""
        flags = " ".join(self.flags)
        return (
            f"{self.platform} | {self.kind} | {self.cores} cores | {self.threads} threads | "
            f"jaxlib {self.jaxlib_version} | {flags}"
        )


@dataclass(frozen=True)
class Calibration:
    """What a device can do, for the cost model; the defaults are those of a usual 2-core server.

    Attributes:
        device_key: `DeviceIdentity.key` of the device.
        bandwidth_gb_s: pairs (working set in bytes, GB/s read and written), ascending.
        call_overhead_us: calling a program that does nothing.
        parallel_start_us: added once when a call's work goes to the thread pool.
        kernel_overhead_us: each further fusion in a program.
        library_kernel_overhead_us: each further dot (or convolution) in a program.
        fresh_memory_us_per_mb: for each MB (10⁶ bytes) of a result of more than 32 MiB.
        elements_per_us: dtype → function → elements per µs **on one core** of a CPU, on the whole
            of another device. `arithmetic` is one more cheap operation inside a fusion; any other
            function is alone in its fusion (`add`: the cheapest kernel there is).
        dot_gflop_s: dtype → rate of a large matrix product on the whole device.
        parallel_gain: all cores against one, for a large elementwise kernel (1.0 = no gain).
        defaulted: names of the attributes that were not measured, or not completely.
        failed: those of them whose measurement failed; it is not tried again.
        rejected: figures that were measured and are impossible; the most that is possible is here.
        measured_at, seconds: when, and how long it took.
    """

    device_key: str
    bandwidth_gb_s: tuple[tuple[int, float], ...] = (
        (1 << 14, 230.0),
        (1 << 18, 250.0),
        (1 << 20, 160.0),
        (1 << 24, 130.0),
        (1 << 26, 50.0),
        (1 << 27, 40.0),
    )
    call_overhead_us: float = 5.0
    parallel_start_us: float = 15.0
    kernel_overhead_us: float = 0.3
    library_kernel_overhead_us: float = 1.0
    fresh_memory_us_per_mb: float = 200.0
    elements_per_us: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: _DEFAULT_RATES
    )
    dot_gflop_s: Mapping[str, float] = field(
        default_factory=lambda: {
            "f32": 300.0, "f64": 150.0, "bf16": 300.0, "f16": 300.0, "i32": 30.0, "i8": 15.0,
        }
    )  # fmt: skip
    parallel_gain: float = 1.5
    defaulted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    measured_at: str = ""
    seconds: float = 0.0

    def bandwidth_at(self, working_set_bytes: float) -> float:
        """GB/s for a working set, interpolated between the measured sizes on a log scale.

        No more than was measured of a larger one is slow memory: that was a disturbed moment.
        """
        known = self._bandwidth_at
        if working_set_bytes not in known:  # every value of every e-graph asks: few sizes, often
            sizes, rates = zip(*self.bandwidth_gb_s, strict=True)
            least = np.maximum.accumulate(rates[::-1])[::-1]
            place = np.log2(max(working_set_bytes, 1.0))
            known[working_set_bytes] = float(np.interp(place, np.log2(sizes), least))
        return known[working_set_bytes]

    @cached_property
    def _bandwidth_at(self) -> dict[float, float]:
        return {}

    def rate(self, function: str, dtype: str) -> float:
        """Elements per µs of a StableHLO elementwise function, or of the nearest one known."""
        if dtype.startswith("complex") and function in REAL_PARTS:
            return self._complex_rate(REAL_PARTS[function], dtype[len("complex<") : -1])
        table = self.elements_per_us.get(dtype, self.elements_per_us["f32"])
        if function in table:
            return table[function]
        if function in _IN_EXPONENTIALS:
            return self.rate("exponential", dtype) / _IN_EXPONENTIALS[function]
        # A function measured for f32 only: scaled as cheap arithmetic is between the two types.
        reference = self.elements_per_us["f32"]
        scale = table["add"] / reference["add"]
        return scale * reference[function] if function in reference else table["arithmetic"]

    def _complex_rate(self, parts: Sequence[str], dtype: str) -> float:
        """Elements per µs of real functions in one kernel; each was measured in its own."""
        around = 1 / self.rate("add", dtype)
        alone = (max(0.0, 1 / self.rate(part, dtype) - around) for part in parts)
        return 1 / (around + sum(alone))

    def to_json(self) -> str:
        """The calibration as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not a calibration.
        """
        try:
            data = json.loads(text)
            values = {each.name: data[each.name] for each in fields(cls)}
            values["bandwidth_gb_s"] = tuple(
                (int(size), float(rate)) for size, rate in values["bandwidth_gb_s"]
            )
            values |= {name: tuple(values[name]) for name in _NOTES}
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"expected a calibration as JSON, but: {error!r}") from error


# Functions that are not calibrated, in exponentials, which they expand to among others: measured
# on XLA:CPU with AVX-512, 65,536 elements of f32 (jaxlib 0.10.2).
_IN_EXPONENTIALS = {
    "sinh": 8.0, "cosh": 2.5, "tan": 12.0, "asin": 15.0, "acos": 25.0, "atan": 10.0, "atan2": 10.0,
    "asinh": 5.0, "acosh": 4.0, "atanh": 6.0, "erfc": 4.0, "erf_inv": 6.0, "lgamma": 10.0,
    "digamma": 12.0,
}  # fmt: skip

_DEFAULT_RATES: Mapping[str, Mapping[str, float]] = {
    "f32": {
        "arithmetic": 30000.0, "add": 3500.0, "divide": 3000.0, "remainder": 65.0, "power": 280.0,
        "exponential": 2500.0, "exponential_minus_one": 1200.0, "log": 1900.0,
        "log_plus_one": 1200.0, "erf": 2700.0, "sqrt": 3400.0, "rsqrt": 600.0, "cbrt": 140.0,
        "tanh": 2500.0, "logistic": 2500.0, "sine": 480.0, "cosine": 480.0,
    },
    "f64": {"arithmetic": 15000.0, "add": 3000.0, "exponential": 1300.0, "tanh": 1700.0},
    "bf16": {"arithmetic": 2400.0, "add": 2400.0, "exponential": 1300.0, "tanh": 1400.0},
    "f16": {"arithmetic": 2400.0, "add": 2400.0, "exponential": 530.0, "tanh": 1900.0},
    "i32": {"arithmetic": 30000.0, "add": 3500.0, "divide": 650.0},
}  # fmt: skip


def identify(device: jax.Device | None = None) -> DeviceIdentity:
    """The identity of a device as this process sees it (its cores, its XLA flags)."""
    device = default_device() if device is None else device
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    on_host = device.platform == "cpu"
    return DeviceIdentity(
        platform=device.platform,
        kind=_cpu_model() if on_host else f"{device.device_kind} {device.client.platform_version}",
        cores=cores or 1,
        # XLA sizes its pool by the variable NPROC if there is one.
        threads=int(os.environ.get("NPROC") or 0) or cores or 1 if on_host else 1,
        jaxlib_version=version("jaxlib"),
        flags=tuple(
            sorted(
                flag
                for flag in os.environ.get("XLA_FLAGS", "").split()
                if not _IRRELEVANT_FLAGS.match(flag)
            )
        ),
    )


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{platform.processor() or platform.machine()} {platform.system()}"
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    first = {name.strip(): value.strip() for name, _, value in lines}
    capabilities = (first.get("flags") or first.get("Features") or "").split()
    names = ("model name", "cpu family", "model", "stepping", "CPU implementer", "CPU part")
    parts = [first[name] for name in names if name in first]
    return " ".join([*parts, *(each for each in _INSTRUCTION_SETS if each in capabilities)])


def default_calibration(device: jax.Device | None = None) -> Calibration:
    """Plausible numbers for a device that was not measured; `defaulted` names all of them."""
    key = identify(device).key
    return Calibration(key, defaulted=MEASURED)


MEASURED = tuple(
    each.name
    for each in fields(Calibration)
    if each.name not in ("device_key", *_NOTES, "measured_at", "seconds")
)


def calibration_table(calibration: Calibration) -> str:
    """The calibration as text for people."""
    lines = [calibration.device_key]
    if calibration.measured_at:
        lines.append(f"measured {calibration.measured_at} in {calibration.seconds:.1f} s")
    for name in MEASURED:
        value = getattr(calibration, name)
        note = (
            "   (default: not, or not completely, measured)"
            if name in calibration.defaulted
            else ""
        )
        if isinstance(value, float):
            lines.append(f"{name:28}{value:12.3f}{note}")
        elif name == "bandwidth_gb_s":
            lines.append(name + note)
            lines += [f"{size / 1024:20.0f} KiB{rate:12.1f}" for size, rate in value]
        else:
            lines.append(name + note)
            lines += _nested_lines(value)
    lines += [f"impossible, not believed: {each}" for each in calibration.rejected]
    return "\n".join(lines)


def _nested_lines(table: Mapping[str, float | Mapping[str, float]]) -> list[str]:
    lines = []
    for dtype, value in table.items():
        rates = value.items() if isinstance(value, Mapping) else [("", value)]
        lines += [f"  {dtype:6}{function:24}{rate:12.1f}" for function, rate in rates]
    return lines
