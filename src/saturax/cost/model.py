"""The price of single operations, in microseconds on this device.

Heavy operations have measured prices; the rest is bytes over bandwidth and elements over
throughput from the device's calibration. `saturax.cost.formulate` composes them under fusion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from saturax.cost.device import Calibration
from saturax.cost.kernel import CONTROL_FLOW, WHILE, Kernel, byte_size
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.ops import Generic
from saturax.graph.ops.elementwise import TRANSCENDENTAL, function_name
from saturax.graph.types import TensorType, Type

# Index arithmetic of a fused strided or reversed access breaks vector loads: measured 4-12 times
# slower than a contiguous one (DESIGN 12, XLA_CPU.md "elementwise on a transposed").
_STRIDED_ACCESS_FACTOR = 6.0
# Programs keep at least a megabyte warm: a small value rarely is alone in the first-level cache.
_LEAST_WORKING_SET = 1 << 20
# XLA:CPU runs smaller loops on one thread.
_LEAST_PARALLEL_ELEMENTS = 1 << 15
_EXPENSIVE = TRANSCENDENTAL | {"divide", "remainder", "sqrt", "rsqrt"}
# A generic operation that nothing is known about, relative to moving its bytes once.
_UNKNOWN_OPERATION_FACTOR = 4.0


@dataclass
class PriceModel:
    """Prices of operations; `measured` maps kernel keys to microseconds.

    `failed` holds the keys of kernels that could not be measured; they stay predicted. `region_us`
    holds the prices of loop bodies and branches, as far as they are known.
    """

    calibration: Calibration
    measured: dict[str, float] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    region_us: dict[Graph, float] = field(default_factory=dict)

    def move_us(self, bytes_moved: int) -> float:
        """Reading or writing so many bytes, at the bandwidth of a working set twice as large."""
        working_set = max(2 * bytes_moved, _LEAST_WORKING_SET)
        return bytes_moved / (1e3 * self.calibration.bandwidth_at(working_set))

    def elementwise_us(self, function: str, dtype: str, elements: int) -> float:
        """Arithmetic of one elementwise function inside a fusion.

        Rates of expensive functions were measured with a kernel around them; what the cheapest
        kernel takes is subtracted.
        """
        rate, per_element = self.calibration.rate, 1 / self.calibration.rate("arithmetic", dtype)
        if function in _EXPENSIVE:
            alone = 1 / rate(function.removeprefix("chlo."), dtype) - 1 / rate("add", dtype)
            per_element = max(per_element, alone)
        gain = self.calibration.parallel_gain if elements > _LEAST_PARALLEL_ELEMENTS else 1.0
        return elements * per_element / gain

    def dot_us(self, dtype: str, flops: int) -> float:
        """Arithmetic of a contraction at the rate of a large matrix product."""
        rates = self.calibration.dot_gflop_s
        return flops / (1e3 * rates.get(dtype, rates["f32"]))

    def read_us(self, type: Type) -> float:
        """Reading a materialised value once."""
        return self.move_us(byte_size(type))

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
        return 0.0 if kernel.op in ("slice", "dynamic_slice") else cheap

    def kernel_us(self, kernel: Kernel) -> float:
        """Running an operation as a kernel of its own, operands and result in memory."""
        measured = self.measured.get(kernel.key)
        return self.predict_us(kernel) if measured is None else measured

    def predict_us(self, kernel: Kernel) -> float:
        """A roofline: the larger of moving the bytes and doing the arithmetic, and the launch."""
        move = self.move_us(kernel.bytes)
        generic: Generic | None = kernel.generic
        if generic is not None and generic.regions and kernel.op in CONTROL_FLOW:
            times = [self.region_us.get(region, move) for region in generic.regions]
            return trip_count(generic) * sum(times) if kernel.op == WHILE else max(times)
        dtype = kernel.type.dtype if isinstance(kernel.type, TensorType) else "f32"
        if kernel.op in ("dot_general", "convolution"):
            compute = self.dot_us(dtype, kernel.flops)
        elif kernel.op in ("reduce", "reduce_window", "gather"):
            compute = self.elementwise_us("add", dtype, max(kernel.flops, 1))
        elif kernel.op == "transpose":
            compute = _STRIDED_ACCESS_FACTOR * self.elementwise_us("add", dtype, kernel.bytes // 8)
        elif kernel.op.partition(".")[2]:
            compute = _UNKNOWN_OPERATION_FACTOR * move
        else:
            compute = 0.0
        return self.calibration.kernel_overhead_us + max(move, compute)

    def unmeasured(self, kernels: Iterable[Kernel]) -> list[Kernel]:
        """The kernels without a measured price, most expensive by prediction first."""
        missing = (k for k in kernels if k.key not in self.measured and k.key not in self.failed)
        return sorted(missing, key=lambda k: (-self.predict_us(k), k.key))


def _skips_in_last_dimension(kernel: Kernel) -> bool:
    """Whether a slice steps over elements that lie next to each other in memory."""
    if kernel.op != "slice":
        return False
    strides: tuple[int, ...] = kernel.attributes[2]
    shape = kernel.operands[0].shape  # type: ignore[union-attr]
    stepping = [s for s, n in zip(strides, shape, strict=True) if n != 1]
    return bool(stepping) and stepping[-1] != 1


def trip_count(generic: Generic) -> int:
    """The constant bound that a loop's condition compares its counter with, if it is that plain.

    JAX's `scan` and `fori_loop` compare a counter from 0 with a constant; for anything else 1.
    """
    condition = generic.regions[0]
    output = condition.nodes[condition.outputs[0]]
    if output.op != "binary" or function_name(output.attributes[0]) != "compare":
        return 1
    counter, limit = (condition.nodes[operand] for operand in output.operands)
    if counter.op != "parameter":
        return 1
    literal = limit.attributes[0] if limit.op == "constant" else None
    if not isinstance(literal, Literal) or not literal.is_splat:
        return 1
    return max(1, int(literal.value))
