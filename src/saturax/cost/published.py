"""Devices that are not here, from their published figures: a roofline, and nothing measured.

Peaks are those of the makers' data sheets, dense (without sparsity). What data sheets do not say is
assumed: a launch takes 2.5 µs, a call 10 µs, a step of a collective 5 µs; a working set of half the
second-level cache moves at three times the bandwidth of memory; transcendental functions run on
special units, of which there are an eighth as many as there are f32 multipliers. Such prices tell
kernels that compute from those that move data, and few launches from many; which of two library
kernels is faster they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from saturax.cost.collectives import Link
from saturax.cost.device import Calibration

_LAUNCH_US, _CALL_US, _STEP_US = 2.5, 10.0, 5.0
_CACHE_GAIN = 3.0
_SPECIAL_SHARE = 1 / 8
# Multiplications and additions count as two operations in peaks.
_OPERATIONS_PER_ELEMENT = 2
_SPECIAL = (
    "divide", "remainder", "power", "exponential", "exponential_minus_one", "log", "log_plus_one",
    "erf", "sqrt", "rsqrt", "cbrt", "tanh", "logistic", "sine", "cosine",
)  # fmt: skip
# What an elementwise kernel takes at least is in its bytes: this rate is only a reference.
_ADD = "add"


@dataclass(frozen=True)
class PublishedDevice:
    """A device as its maker describes it.

    Attributes:
        name: the maker's name.
        matrix_tflop_s: dtype → peak of matrix units (or of the ordinary ones, where there are none
            for it) in 10¹² operations a second; f32 is TF32 where there is that: JAX's default.
        vector_tflop_s: dtype → peak of the ordinary units.
        memory_gb_s: bandwidth of memory.
        cache_bytes: size of the second-level cache.
        link: to the next device: NVLink in one direction, else PCI Express.
    """

    name: str
    matrix_tflop_s: Mapping[str, float]
    vector_tflop_s: Mapping[str, float]
    memory_gb_s: float
    cache_bytes: int
    link: Link

    @property
    def key(self) -> str:
        """The key of its prices, which are no device's that was measured."""
        return f"cuda | {self.name} | published figures"

    def calibration(self) -> Calibration:
        """A calibration that follows from the published figures; all of it counts as default."""
        rates = {
            dtype: self._rates(tflop_s * 1e6 / _OPERATIONS_PER_ELEMENT)
            for dtype, tflop_s in self.vector_tflop_s.items()
        }
        return Calibration(
            self.key,
            bandwidth_gb_s=(
                (self.cache_bytes // 2, _CACHE_GAIN * self.memory_gb_s),
                (2 * self.cache_bytes, self.memory_gb_s),
            ),
            call_overhead_us=_CALL_US,
            parallel_start_us=0.0,
            kernel_overhead_us=_LAUNCH_US,
            library_kernel_overhead_us=_LAUNCH_US,
            fresh_memory_us_per_mb=0.0,
            elements_per_us=rates,
            dot_gflop_s={dtype: 1e3 * peak for dtype, peak in self.matrix_tflop_s.items()},
            parallel_gain=1.0,
            defaulted=("all",),
        )

    @staticmethod
    def _rates(elements_per_us: float) -> dict[str, float]:
        special = dict.fromkeys(_SPECIAL, _SPECIAL_SHARE * elements_per_us)
        return {"arithmetic": elements_per_us, _ADD: elements_per_us, **special}


def _device(
    name: str, memory_gb_s: float, cache_mib: int, link_gb_s: float, matrix: str, vector: str
) -> PublishedDevice:
    """A device whose peaks are written as `f32 67 f64 34`."""

    def peaks(text: str) -> dict[str, float]:
        words = text.split()
        return {dtype: float(peak) for dtype, peak in zip(words[::2], words[1::2], strict=True)}

    link = Link(link_gb_s, _STEP_US)
    return PublishedDevice(name, peaks(matrix), peaks(vector), memory_gb_s, cache_mib << 20, link)


_HOPPER = (
    "f32 494 bf16 989 f16 989 f8E4M3FN 1979 f8E5M2 1979 i8 1979 f64 67 i32 33",
    "f32 67 f64 34 bf16 134 f16 134 i32 33",
)

DEVICES: Mapping[str, PublishedDevice] = {
    "H100": _device("NVIDIA H100 SXM", 3350, 50, 450, *_HOPPER),
    "H200": _device("NVIDIA H200 SXM", 4800, 50, 450, *_HOPPER),
    "A100": _device(
        "NVIDIA A100 SXM 80 GB", 2039, 40, 300,
        "f32 156 bf16 312 f16 312 i8 624 f64 19.5 i32 19.5",
        "f32 19.5 f64 9.7 bf16 39 f16 78 i32 19.5",
    ),
    "L4": _device(
        "NVIDIA L4", 300, 48, 32,
        "f32 60 bf16 121 f16 121 f8E4M3FN 242 f8E5M2 242 i8 242 f64 0.5 i32 15",
        "f32 30.3 f64 0.5 bf16 30.3 f16 30.3 i32 15",
    ),
    "RTX 4090": _device(
        "NVIDIA GeForce RTX 4090", 1008, 72, 32,
        "f32 82.6 bf16 165 f16 165 f8E4M3FN 330 f8E5M2 330 i8 660 f64 1.3 i32 41",
        "f32 82.6 f64 1.3 bf16 82.6 f16 82.6 i32 41",
    ),
    "T4": _device(
        "NVIDIA T4", 320, 4, 16,
        "f32 8.1 bf16 8.1 f16 65 i8 130 f64 0.25 i32 8.1",
        "f32 8.1 f64 0.25 bf16 8.1 f16 16.2 i32 8.1",
    ),
}  # fmt: skip
"""Published devices by the names that users know them by."""
