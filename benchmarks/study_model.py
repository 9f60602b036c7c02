"""The cost model of the OOPSLA 2025 study, for comparison: operations by themselves, no fusion.

Every operation costs what it takes alone; slices, reshapes, transposes and concatenations are free
by decree, and what XLA might fuse gets a flat discount.
"""

from __future__ import annotations

from dataclasses import dataclass

from saturax.cost.kernel import Kernel
from saturax.cost.model import PriceModel
from saturax.graph.types import Type

FREE = frozenset(
    {"slice", "dynamic_slice", "reshape", "transpose", "concatenate", "broadcast_in_dim", "reverse"}
)
# The study's bonus for a fusible operation, as a share of its time alone.
_FUSED_SHARE = 0.5


@dataclass
class StudyModel(PriceModel):
    """Prices of isolated operations; reading and writing between them costs nothing extra."""

    def read_us(self, type: Type, level: int = 0) -> float:
        """Nothing: every operation pays for its own operands."""
        return 0.0

    def fresh_us(self, bytes_written: int) -> float:
        """Nothing: the study knows no memory."""
        return 0.0

    def write_us(self, type: Type) -> float:
        """Nothing: every operation pays for its own result."""
        return 0.0

    def inline_us(self, kernel: Kernel) -> float:
        """An operation that may be fused: a share of what it costs alone."""
        if kernel.op in FREE or kernel.is_bitcast:
            return 0.0
        alone = self.calibration.kernel_overhead_us + self.move_us(kernel.bytes)
        return _FUSED_SHARE * max(alone, super().inline_us(kernel))

    def kernel_us(self, kernel: Kernel) -> float:
        """What an operation was measured to take alone, or nothing if it only moves data."""
        return 0.0 if kernel.op in FREE else super().kernel_us(kernel)
