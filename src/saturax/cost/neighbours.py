"""What measured kernels say about similar ones that nobody has measured.

A roofline is optimistic, and on purpose: what could win is tried. But some forms of an operation
run far below any roofline (a product of two transposed operands, say), in every size. Each new size
would be tried in vain, so a kernel is predicted from its nearest measured neighbour of the same
form, unless that came out about as predicted. Padding goes with a convolution's size: a kernel of
3×3 is padded in two dimensions, one of 3×1 in one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from saturax.cost.kernel import Kernel
from saturax.graph.ops import Window
from saturax.graph.types import TensorType

# The sum of the sizes' distances in powers of two within which a neighbour has a say.
_FARTHEST = 2.5
# A neighbour that took so many times its prediction was misjudged.
_MISJUDGED = 3.0
# What is left of hope: a kernel that is promising in spite of its neighbours is still tried.
_HOPE = 0.5


@dataclass
class Neighbours:
    """Measured over predicted times, by form and sizes of the kernel."""

    ratios: dict[Hashable, dict[tuple[float, ...], float]] = field(default_factory=dict)
    of_work: dict[Hashable, dict[tuple[float, ...], float]] = field(default_factory=dict)

    def learn(self, kernel: Kernel, ratio: float) -> None:
        """A kernel took `ratio` times as long as predicted."""
        self.ratios.setdefault(_form(kernel), {})[_sizes(kernel)] = ratio
        best = self.of_work.setdefault(_kind(kernel), {})
        best[_work(kernel)] = min(ratio, best.get(_work(kernel), ratio))

    def factor(self, kernel: Kernel) -> float:
        """By how much to multiply the prediction of a kernel, at least 1."""
        known = self.ratios.get(_form(kernel))
        if not known:
            return 1.0
        sizes = _sizes(kernel)
        nearest = min(known, key=lambda other: (_distance(sizes, other), other))
        ratio = known[nearest]
        if ratio < _MISJUDGED or _distance(sizes, nearest) > _FARTHEST:
            return 1.0
        return max(1.0, _HOPE * ratio)

    def usual(self, kernel: Kernel) -> float:
        """How far kernels of any form that do as much work exceed their predictions; at least 1.

        Of a product of few rows, the form that nobody has measured is unlikely to be the one that
        reaches the roofline, from which all the others are far.
        """
        known = self.of_work.get(_kind(kernel))
        if not known:
            return 1.0
        work = _work(kernel)
        nearest = min(known, key=lambda other: (_distance(work, other), other))
        return 1.0 if _distance(work, nearest) > _FARTHEST else max(1.0, known[nearest])


def _kind(kernel: Kernel) -> Hashable:
    """What kernels share that do the same kind of work."""
    return kernel.op, kernel.type.dtype if isinstance(kernel.type, TensorType) else ""


def _work(kernel: Kernel) -> tuple[float, ...]:
    return math.log2(max(kernel.flops, 1)), math.log2(max(kernel.bytes, 1))


def _form(kernel: Kernel) -> Hashable:
    """What kernels share that differ in size only."""
    types = tuple(
        (t.rank, t.dtype) if isinstance(t, TensorType) else str(t) for t in kernel.operands
    )
    attributes: tuple[Any, ...] = kernel.attributes
    if kernel.op == "convolution":
        attributes = (Window(*attributes[0])._replace(padding=()), *attributes[1:])
    return kernel.op, attributes, types


def _sizes(kernel: Kernel) -> tuple[float, ...]:
    tensors = [t for t in kernel.operands if isinstance(t, TensorType)]
    return tuple(math.log2(max(n, 1)) for t in tensors for n in t.shape)


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True))
