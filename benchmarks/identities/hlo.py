"""What a compiled program costs: XLA's own analysis, with loops counted as often as they run.

`cost_analysis` counts the body of a loop once. Where XLA knows the trip count (it is in the text of
the compiled program), the walk below adds what the other trips cost; where it does not, the figure
stays too low, which `Cost.unknown_trips` tells. Calls of libraries (LAPACK) count as nothing there
and are listed by name.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from math import prod
from typing import Any

_COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:calls|body|condition|to_apply)=%([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]*)\}")
_TARGET = re.compile(r'custom_call_target="([^"]+)"')
_BITS = re.compile(r"\d+")
_NAME = re.compile(r"%([\w.\-]+)")

_FREE = frozenset(
    "parameter constant bitcast tuple get-tuple-element after-all iota broadcast reshape".split()
)
_MOVING = frozenset(
    "copy slice dynamic-slice dynamic-update-slice concatenate transpose pad reverse gather "
    "scatter convert select".split()
)
_TRANSCENDENTAL = frozenset(
    "exponential exponential-minus-one log log-plus-one logistic tanh tan sine cosine power atan2 "
    "cbrt erf sqrt rsqrt".split()
)


@dataclass(frozen=True)
class Cost:
    """Counts of a compiled program. `calls` are library calls by name; `kernels` are launches."""

    flops: float
    transcendentals: float
    bytes: float
    kernels: int
    calls: dict[str, int] = field(default_factory=dict)
    unknown_trips: bool = False


@dataclass
class _Instruction:
    name: str
    shape: str
    op: str
    rest: str


def cost_of(compiled: Any) -> Cost:
    """The cost of what `jax.jit(f).lower(…).compile()` returned."""
    analysis = compiled.cost_analysis()
    walk = _Walk(compiled.as_text())
    once, often = walk.total(with_trips=False), walk.total(with_trips=True)

    def figure(key: str, name: str) -> float:
        counted = float(analysis.get(key, 0.0))
        # Negative stands for "unknown", as soon as there is a call that XLA cannot look into.
        return float(often[name]) if counted < 0 else counted + often[name] - once[name]

    calls = {name[5:]: int(n) for name, n in often.items() if name.startswith("call ")}
    return Cost(
        figure("flops", "flops"),
        figure("transcendentals", "transcendentals"),
        figure("bytes accessed", "bytes"),
        int(often["kernels"]),
        dict(sorted(calls.items())),
        walk.has_unknown_trips,
    )


class _Walk:
    """Counts flops, transcendentals, bytes and kernels of the text of a compiled program."""

    def __init__(self, text: str) -> None:
        self.bodies: dict[str, list[_Instruction]] = {}
        self.entry = ""
        self.has_unknown_trips = False
        current: list[_Instruction] = []
        for line in text.splitlines():
            if header := _COMPUTATION.match(line):
                current = self.bodies.setdefault(header[1], [])
                if line.startswith("ENTRY"):
                    self.entry = header[1]
            elif found := _INSTRUCTION.match(line):
                current.append(_Instruction(*found.groups()))

    def total(self, with_trips: bool) -> Counter[str]:
        """Counts of the whole program, loop bodies once or as often as they run."""
        return self._count(self.entry, with_trips, is_kernel=True)

    def _count(self, name: str, with_trips: bool, is_kernel: bool) -> Counter[str]:
        """Counts of a computation; `is_kernel`: its instructions are launched one by one."""
        counts: Counter[str] = Counter()
        body = self.bodies.get(name, [])
        shapes = {instruction.name: instruction.shape for instruction in body}
        for instruction in body:
            self._add(counts, instruction, shapes, with_trips, is_kernel)
        return counts

    def _add(
        self,
        counts: Counter[str],
        instruction: _Instruction,
        shapes: dict[str, str],
        with_trips: bool,
        is_kernel: bool,
    ) -> None:
        op, rest = instruction.op, instruction.rest
        if op in ("while", "conditional", "call"):
            self._add_called(counts, instruction, with_trips)
        if op in _FREE or op in ("while", "conditional", "call"):
            return
        operands = _NAME.findall(rest.partition(")")[0])
        if is_kernel:
            counts["kernels"] += 1
            counts["bytes"] += _bytes(instruction.shape)
            counts["bytes"] += sum(_bytes(shapes.get(operand, "")) for operand in operands)
        if target := _TARGET.search(rest):
            counts[f"call {target[1]}"] += 1
        if op == "fusion":
            for called in _CALLED.findall(rest):
                counts.update(self._count(called, with_trips, is_kernel=False))
        else:
            counts.update(_arithmetic(instruction, shapes.get(operands[0], "") if operands else ""))

    def _add_called(
        self, counts: Counter[str], instruction: _Instruction, with_trips: bool
    ) -> None:
        """Add the computations that a loop, branch or call runs."""
        times = 1
        if instruction.op == "while":
            trips = _TRIPS.search(instruction.rest)
            self.has_unknown_trips |= trips is None
            times = int(trips[1]) if trips and with_trips else 1
        for called in _CALLED.findall(instruction.rest):
            inner = self._count(called, with_trips, is_kernel=True)
            counts.update({key: times * n for key, n in inner.items()})


def _arithmetic(instruction: _Instruction, operand: str) -> Counter[str]:
    """Flops and transcendentals of an instruction; `operand` is the shape of its first operand."""
    elements = _elements(instruction.shape)
    if instruction.op == "dot":
        sizes, contracted = _dimensions(operand), _CONTRACTED.search(instruction.rest)
        summed = [sizes[int(d)] for d in contracted[1].split(",") if d] if contracted else []
        return Counter(flops=2 * elements * prod(summed))
    if instruction.op == "reduce":
        return Counter(flops=_elements(operand))
    if instruction.op in _TRANSCENDENTAL:
        return Counter(transcendentals=elements)
    return Counter() if instruction.op in _MOVING else Counter(flops=elements)


def _dimensions(shape: str) -> list[int]:
    found = _SHAPE.search(shape)
    return [int(d) for d in found[2].split(",") if d] if found else []


def _elements(shape: str) -> int:
    return sum(prod(int(d) for d in dims.split(",") if d) for _, dims in _SHAPE.findall(shape))


def _bytes(shape: str) -> int:
    total = 0
    for dtype, dims in _SHAPE.findall(shape):
        bits = _BITS.search(dtype)
        width = max(1, int(bits[0]) // 8) if bits else 1
        total += width * prod(int(d) for d in dims.split(",") if d)
    return total
