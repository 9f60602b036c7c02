"""The price of single operations, in microseconds on this device.

Heavy operations have measured prices; the rest is bytes over bandwidth and elements over
throughput from the device's calibration. `saturax.cost.formulate` composes them under fusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from math import prod
from typing import Any

from saturax.cost.collectives import COLLECTIVES, Link, collective_us
from saturax.cost.device import Calibration
from saturax.cost.distance import REUSE_BYTES
from saturax.cost.kernel import CONTROL_FLOW, DISTANT_OPERANDS, EXPENSIVE, Kernel, byte_size
from saturax.cost.lapack import lapack_us
from saturax.cost.library import short_rows_us
from saturax.cost.loop_bodies import trip_us
from saturax.cost.loops import WHILE, trip_count
from saturax.cost.neighbours import Neighbours
from saturax.cost.operands import is_in_loops, order_wanted
from saturax.cost.parts import bytes_of_part
from saturax.graph.ir import Graph
from saturax.graph.ops import BARRIER, ConvDimensions, Generic, Groups, usual_region
from saturax.graph.ops.elementwise import function_name
from saturax.graph.ops.linear_algebra import LINEAR_ALGEBRA
from saturax.graph.types import TensorType, Type, is_float

# Index arithmetic of a fused strided or reversed access breaks vector loads: measured 4-12 times
# slower than a contiguous one (DESIGN 12, XLA_CPU.md "elementwise on a transposed").
_STRIDED_ACCESS_FACTOR = 6.0
# Asking for each element of a row whether it is in what has zeros around it: 0.6 ns besides the
# arithmetic, which takes 0.04 an operation (65,536 floats, one core, AMD EPYC 26/2).
_PADDED_ROW_FACTOR = 16.0
# Programs keep at least a megabyte warm: a small value rarely is alone in the first-level cache.
_LEAST_WORKING_SET = 1 << 20
# XLA:CPU runs smaller loops on one thread.
_LEAST_PARALLEL_ELEMENTS = 1 << 15

# A generic operation that nothing is known about, relative to moving its bytes once.
_UNKNOWN_OPERATION_FACTOR = 4.0
# XLA:CPU, measured with 65,536 elements: one comparison of a sort of integers, of floats (which it
# compares as JAX's body says, NaN and ±0 included) or of pairs; one step of a loop over elements.
_INTEGER_COMPARISON_US, _COMPARISON_US, _SERIAL_ELEMENT_US = 0.005, 0.03, 0.002
# One term of a product in blocks, at best: 256×256 to 512×4096 took 0.14 to 0.47 ns, in one thread.
_BLOCKED_TERM_US = 0.00015
# XLA:CPU's convolutions gather every window of more than one element for every group of channels:
# at best 5 ns each, in the time of so many additions inside a fusion. 8×8 to 192×192 windows of 3
# to 25 elements in 1 to 64 channels took 5 to 50 ns: with one channel, 200 times the products.
_GATHERED_WINDOW_ADDITIONS = 150
# One window of a scatter and one element of it: measured with 256 to 65,536 windows of 1 to 1,024.
_WINDOW_US, _WINDOW_ELEMENT_US = 0.0015, 0.00025


# A product that has been measured corrects a calibration that a slow machine has spoilt, if it took
# long enough to tell; others are hoped to be so many times as fast, or they would not be tried.
_TELLING_US, _FASTER_THAN_SEEN = 100.0, 1.25


@dataclass
class PriceModel:
    """Prices of operations; `measured` maps kernel keys to microseconds.

    `failed` holds the keys of kernels that could not be measured; they stay predicted. `region_us`
    holds the prices of loop bodies and branches, as far as they are known, and `taken` which of
    several branches is taken; without that it is the one said to be usual, or the dearest of them.
    `link` connects devices. `caution` multiplies predictions of what would be measured if there
    were time. While `is_in_region`, prices are asked for operations in the body of a loop or in a
    branch.
    """

    calibration: Calibration
    measured: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    region_us: dict[Graph, float] = field(default_factory=dict)
    taken: dict[tuple[Graph, ...], int] = field(default_factory=dict)
    neighbours: Neighbours = field(default_factory=Neighbours)
    link: Link = field(default_factory=Link)
    caution: float = 1.0
    is_in_region: bool = False
    _moves: dict[tuple[int, int], float] = field(default_factory=dict, init=False, repr=False)
    _predicted: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    # Those that were measured with operands at certain levels, by what they are without these.
    _elsewhere: dict[str, dict[tuple[int, ...], Kernel]] = field(
        default_factory=dict, init=False, repr=False
    )
    _hoped_gflop_s: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    @contextmanager
    def in_region(self) -> Iterator[None]:
        """Meanwhile, operations are those of the body of a loop or of a branch."""
        outside, self.is_in_region = self.is_in_region, True
        try:
            yield
        finally:
            self.is_in_region = outside

    def move_us(self, bytes_moved: int, working_set: int = _LEAST_WORKING_SET) -> float:
        """Reading or writing so many bytes, at the bandwidth of a working set twice as large."""
        known = self._moves.get((bytes_moved, working_set))
        if known is None:
            bandwidth = self.calibration.bandwidth_at(max(2 * bytes_moved, working_set))
            known = self._moves[bytes_moved, working_set] = bytes_moved / (1e3 * bandwidth)
        return known

    def elementwise_us(self, function: str, dtype: str, elements: int) -> float:
        """Arithmetic of one elementwise function inside a fusion.

        Rates of expensive functions were measured with a kernel around them; what the cheapest
        kernel takes is subtracted.
        """
        rate, per_element = self.calibration.rate, 1 / self.calibration.rate("arithmetic", dtype)
        if function in EXPENSIVE:
            alone = 1 / rate(function.removeprefix("chlo."), dtype) - 1 / rate("add", dtype)
            per_element = max(per_element, alone)
        return self.on_all_cores_us(elements * per_element, elements)

    def on_all_cores_us(self, time_us: float, elements: int) -> float:
        """What takes so long on one core, where so many elements may be computed on all."""
        is_split = elements > _LEAST_PARALLEL_ELEMENTS
        return time_us / self.calibration.parallel_gain if is_split else time_us

    def dot_us(self, dtype: str, flops: int) -> float:
        """Arithmetic of a contraction at the rate of a large matrix product, or the best seen."""
        rates = self.calibration.dot_gflop_s
        rate = max(rates.get(dtype, rates["f32"]), self._hoped_gflop_s.get(dtype, 0.0))
        return flops / (1e3 * rate)

    def read_us(self, type: Type, level: int = 0) -> float:
        """Reading a materialised value once, from as far as `level` says (`distance`)."""
        return self.move_us(byte_size(type), REUSE_BYTES[level] or _LEAST_WORKING_SET)

    def part_us(self, part: Kernel) -> float:
        """Reading what a slice takes out of a value, in lines of memory if its elements are apart.

        Few elements are read by one thread, and the rates of calibration are those of all.
        """
        assert isinstance(part.type, TensorType)
        lines = bytes_of_part(part)
        if lines == part.type.bytes or part.type.size > _LEAST_PARALLEL_ELEMENTS:
            return self.move_us(lines)
        return self.calibration.parallel_gain * self.move_us(lines)

    def fresh_us(self, bytes_written: int) -> float:
        """Writing to memory that the system has just given, besides moving the bytes."""
        return self.calibration.fresh_memory_us_per_mb * bytes_written / 1e6

    def write_us(self, type: Type) -> float:
        """Materialising a fused computation: one kernel launch and its result's bytes."""
        return self.calibration.kernel_overhead_us + self.move_us(byte_size(type))

    def inline_us(self, kernel: Kernel) -> float:
        """Computing a fusible operation inside a fusion, for every element of its result."""
        type = kernel.type
        assert isinstance(type, TensorType)
        if kernel.is_bitcast or kernel.op in ("broadcast_in_dim", "constant"):
            return 0.0
        if kernel.op in ("unary", "binary", "ternary"):
            return self.elementwise_us(function_name(kernel.attributes[0]), type.dtype, type.size)
        cheap = self.elementwise_us("add", type.dtype, type.size)
        if kernel.op in ("transpose", "reverse") or _skips_in_last_dimension(kernel):
            return _STRIDED_ACCESS_FACTOR * cheap
        if kernel.op == "pad" and _pads_rows(kernel):
            return _PADDED_ROW_FACTOR * cheap
        return 0.0 if kernel.op in ("slice", "dynamic_slice") else cheap

    def kernel_us(self, kernel: Kernel) -> float:
        """Running an operation as a kernel of its own, operands and result in memory."""
        measured = self.measured.get(kernel.key)
        if measured is not None:
            return measured
        if kernel.op == BARRIER:
            return 0.0
        if kernel.op in CONTROL_FLOW:  # whose regions may be known better by now
            return self.predict_us(kernel)
        predicted = self._predicted.get(kernel.key)
        if predicted is None:
            predicted = self._predicted[kernel.key] = self.predict_us(kernel)
        elsewhere = self._elsewhere.get(kernel.near.key)
        if elsewhere:
            other = _nearest(kernel.levels, elsewhere)
            return predicted * self.measured[other.key] / self.predict_us(other)
        factor = self.neighbours.factor(kernel)
        if self.caution > 1 and kernel.is_measurable:
            factor = self.caution * max(factor, self.neighbours.usual(kernel))
        return predicted * factor

    def learn(self, kernel: Kernel, time_us: float) -> None:
        """A kernel was measured."""
        self.measured[kernel.key] = time_us
        if kernel.op in DISTANT_OPERANDS:
            self._elsewhere.setdefault(kernel.near.key, {})[kernel.levels] = kernel
        if kernel.op in ("dot_general", "convolution"):
            self.neighbours.learn(kernel, time_us / self.predict_us(kernel))
        if kernel.op == "dot_general" and time_us > _TELLING_US:
            self._hope(kernel, _FASTER_THAN_SEEN * kernel.flops / (1e3 * time_us))

    def _hope(self, product: Kernel, gflop_s: float) -> None:
        """Expect such a rate of products that nobody has measured."""
        assert isinstance(product.type, TensorType)
        dtype = product.type.dtype
        if gflop_s > self._hoped_gflop_s.get(dtype, 0.0):
            self._hoped_gflop_s[dtype] = gflop_s
            self._predicted.clear()

    def predict_us(self, kernel: Kernel) -> float:
        """A roofline: the larger of moving the bytes and doing the arithmetic, and the launch."""
        farthest = max(kernel.levels, default=0)
        move = self.move_us(_bytes_moved(kernel), REUSE_BYTES[farthest] or _LEAST_WORKING_SET)
        generic: Generic | None = kernel.generic
        if generic is not None and generic.regions and kernel.op in CONTROL_FLOW:
            times = [self.region_us.get(region, move) for region in generic.regions]
            if kernel.op == WHILE:
                launch_us = self.calibration.kernel_overhead_us
                return launch_us + trip_count(generic) * self._trip_us(generic, sum(times))
            taken = self.taken.get(generic.regions, usual_region(generic))
            return max(times) if taken is None else times[taken]
        if generic is not None and kernel.op in COLLECTIVES:
            largest = max(byte_size(kernel.type), sum(map(byte_size, kernel.operands)))
            return self.calibration.kernel_overhead_us + collective_us(
                kernel.op, generic, largest, self.link
            )
        dtype = kernel.type.dtype if isinstance(kernel.type, TensorType) else "f32"
        if kernel.op in ("dot_general", "convolution"):
            compute = self._product_us(kernel, dtype)
        elif kernel.op in LINEAR_ALGEBRA or kernel.op == "fft":
            compute = self._routine_us(kernel, dtype)
        elif kernel.op == "lu_permutation":  # a step of the loop is about three kernels
            steps = kernel.operands[0].shape[-1]  # type: ignore[union-attr]
            compute = 3 * steps * self.calibration.kernel_overhead_us
        elif kernel.op in ("reduce", "reduce_window", "gather"):
            compute = self.elementwise_us("add", dtype, max(kernel.flops, 1))
            compute += self._short_rows_us(kernel)
        elif kernel.op in ("sort", "sort_pair"):
            is_plain = kernel.op == "sort" and not is_float(dtype)
            compute = kernel.flops * (_INTEGER_COMPARISON_US if is_plain else _COMPARISON_US)
        elif kernel.op in ("scatter", "top_k", "arg_reduce", "blocked_dot"):
            compute = _serial_us(kernel)
        elif kernel.op == "transpose":
            compute = _STRIDED_ACCESS_FACTOR * self.elementwise_us("add", dtype, kernel.bytes // 8)
        elif kernel.op.partition(".")[2]:
            compute = _UNKNOWN_OPERATION_FACTOR * move
        else:
            compute = 0.0
        return self.calibration.kernel_overhead_us + max(move, compute)

    def _routine_us(self, kernel: Kernel, dtype: str) -> float:
        """A factorisation, a solve or a transform."""
        # Half the rate of a matrix product: so BLAS does on triangles of some hundred rows.
        compute = 2 * self.dot_us(dtype, kernel.flops)
        return compute if kernel.op == "fft" else max(compute, lapack_us(kernel))

    def _short_rows_us(self, kernel: Kernel) -> float:
        """What the rows of an operand cost a reduction besides their elements."""
        operand = kernel.operands[0]
        if kernel.op != "reduce" or not isinstance(operand, TensorType):
            return 0.0
        return self.on_all_cores_us(short_rows_us(operand), operand.size)

    def _product_us(self, kernel: Kernel, dtype: str) -> float:
        """Arithmetic of a contraction or convolution."""
        if kernel.op == "convolution" and is_in_loops(kernel.attributes):
            return self.elementwise_us("add", dtype, kernel.flops // 2)
        moved = _GATHERED_WINDOW_ADDITIONS * _gathered_windows(kernel)
        apart = _STRIDED_ACCESS_FACTOR * self.elementwise_us("add", dtype, _reordered(kernel))
        return self.dot_us(dtype, kernel.flops) + self.elementwise_us("add", "f32", moved) + apart

    def _trip_us(self, loop: Generic, regions_us: float) -> float:
        if not self.calibration.device_key.startswith("cpu"):
            return regions_us
        return trip_us(loop.regions, regions_us, self.calibration.kernel_overhead_us)

    def unmeasured(self, kernels: Iterable[Kernel]) -> list[Kernel]:
        """The kernels without a measured price, most expensive by prediction first."""
        missing = (k for k in kernels if k.key not in self.measured and k.key not in self.failed)
        return sorted(missing, key=lambda k: (-self.kernel_us(k), k.key))


def _nearest(levels: tuple[int, ...], known: Mapping[tuple[int, ...], Kernel]) -> Kernel:
    """Of kernels by their levels, the one whose levels are least unlike these."""

    def difference(other: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        return sum(abs(a - b) for a, b in zip_longest(levels, other, fillvalue=0)), other

    return known[min(known, key=difference)]


def _pads_rows(kernel: Kernel) -> bool:
    """Whether there is something at the ends of a value's rows."""
    shape: tuple[int, ...] = kernel.operands[0].shape  # type: ignore[union-attr]
    return bool(shape) and shape[-1] != kernel.type.shape[-1]  # type: ignore[union-attr]


def _gathered_windows(kernel: Kernel) -> int:
    """The windows that a convolution gathers before it is a product."""
    if kernel.op != "convolution":
        return 0
    assert isinstance(kernel.type, TensorType)
    dimensions, groups = ConvDimensions(*kernel.attributes[1]), Groups(*kernel.attributes[2])
    weights: tuple[int, ...] = kernel.operands[1].shape  # type: ignore[union-attr]
    if all(weights[d] == 1 for d in dimensions.kernel_spatial):
        return 0
    channels = max(kernel.type.shape[dimensions.output_feature], 1)
    return groups.feature * groups.batch * kernel.type.size // channels


def _reordered(kernel: Kernel) -> int:
    """The elements of the operands that a contraction cannot read where they are."""
    if kernel.op != "dot_general":
        return 0
    elements = 0
    for position, operand in enumerate(kernel.operands):
        assert isinstance(operand, TensorType)
        given = range(operand.rank)
        if order_wanted(kernel, position, operand.shape, given) != tuple(given):
            elements += operand.size
    return elements


def _serial_us(kernel: Kernel) -> float:
    """Going through elements, or the windows of a scatter, one after another."""
    if kernel.op == "blocked_dot":
        return kernel.flops // 2 * _BLOCKED_TERM_US
    if kernel.op != "scatter":
        return kernel.flops * _SERIAL_ELEMENT_US
    _, indices, updates = kernel.operands
    assert isinstance(indices, TensorType)
    assert isinstance(updates, TensorType)
    dimensions: Any = kernel.attributes[1]
    windows = prod(n for d, n in enumerate(indices.shape) if d != dimensions.index_vector_dim)
    return windows * _WINDOW_US + updates.size * _WINDOW_ELEMENT_US


def _bytes_moved(kernel: Kernel) -> int:
    """Bytes of operands and result; of what a part is taken out of, that."""
    if kernel.op not in ("gather", "slice", "dynamic_slice"):
        return kernel.bytes
    read = byte_size(kernel.type) if kernel.op == "gather" else bytes_of_part(kernel)
    return read + byte_size(kernel.type) + sum(map(byte_size, kernel.operands[1:]))


def _skips_in_last_dimension(kernel: Kernel) -> bool:
    """Whether a slice steps over elements that lie next to each other in memory."""
    if kernel.op != "slice":
        return False
    strides: tuple[int, ...] = kernel.attributes[2]
    shape = kernel.operands[0].shape  # type: ignore[union-attr]
    stepping = [s for s, n in zip(strides, shape, strict=True) if n != 1]
    return bool(stepping) and stepping[-1] != 1
