"""What saturax did to one program and why, as data that serialises to JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IN_BODY = " (in a body)"
"""What the names of rules end with that were used in the bodies of loops and branches."""


@dataclass
class StageReport:
    """How long a stage took (wall time, seconds) and what it has to say, as name → value.

    `xla_seconds` are those in which XLA compiled programs, or ran them to check or time them.
    """

    name: str
    seconds: float
    notes: dict[str, Any] = field(default_factory=dict)
    xla_seconds: float = 0.0


@dataclass
class CandidateReport:
    """One program that was tried: predicted time, checked, measured, and what became of it.

    `time_us` is the measured median, `ratio` the original's time over this one's (> 1 is faster),
    `interval` its 95 % confidence interval. Its peak memory is `predicted_bytes`, and
    `planned_bytes` by the compiler. `outcome` is "chosen", "slower", "rejected" or
    "failed".
    """

    name: str
    predicted_us: float | None
    operations: int
    rules: dict[str, int] = field(default_factory=dict)
    verified: bool | None = None
    largest_error: float | None = None
    allowed_error: float | None = None
    original_error: float | None = None
    time_us: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    outcome: str = ""
    reason: str = ""
    predicted_bytes: int | None = None
    planned_bytes: int | None = None


@dataclass
class KernelReport:
    """One kind of kernel: its price in microseconds, whether that was measured in isolation or
    follows from bytes and arithmetic, and how often the original and the chosen program run it.
    """

    kernel: str
    price_us: float
    is_measured: bool
    before: int
    after: int


@dataclass
class MemoryReport:
    """Peak memory in bytes (arguments, results, temporary values, constants) of the original and
    of the chosen program: predicted, and as the compiler plans it; None where nobody tells.
    """

    predicted_original: int | None = None
    planned_original: int | None = None
    predicted_optimized: int | None = None
    planned_optimized: int | None = None
    limit: int | None = None


@dataclass
class FrozenReport:
    """What was computed once from the frozen inputs and the large constants of a program.

    `bytes_before` are theirs, `bytes_after` those of the values that the program now takes.
    `computed` counts the operations that no call runs any more, by kind. `form` says how XLA gets
    the values: as "arguments" or, where that was measured to be faster, as "constants".
    """

    bytes_before: int
    bytes_after: int
    operations: int = 0
    computed: dict[str, int] = field(default_factory=dict)
    form: str = "arguments"


@dataclass
class Report:
    """Everything about one optimised program.

    `outcome` is "optimized" or "original"; `reason` says why in a sentence. Times are microseconds
    of one call on `device`; `priced_by` says where prices come from if that is not this device.
    `changes` counts operations: (operation, before, after). `rules` counts the steps from the
    original to the result by rule; those within loops and branches have names with `IN_BODY`.
    `frozen` is there if inputs were frozen. `kernels` says where the predicted time goes.
    `measured_on` says where programs were checked and timed, and what of them was not run for it
    (empty if nothing was measured). `cached` is the date of the optimisation that the program comes
    from, if it was found in the cache. Predicted times are those of the kernels alone, without what
    any call takes (`call_us` of the stage `calibrate`); measured ones are of whole calls.
    """

    program: str
    outcome: str = "original"
    reason: str = ""
    operations_before: int = 0
    operations_after: int = 0
    original_us: float | None = None
    optimized_us: float | None = None
    speedup: float | None = None
    predicted_original_us: float | None = None
    predicted_optimized_us: float | None = None
    rules: dict[str, int] = field(default_factory=dict)
    changes: list[tuple[str, int, int]] = field(default_factory=list)
    stages: list[StageReport] = field(default_factory=list)
    candidates: list[CandidateReport] = field(default_factory=list)
    kernels: list[KernelReport] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    frozen: FrozenReport | None = None
    memory: MemoryReport | None = None
    cached: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    priced_by: str = ""
    measured_on: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self, indent: int | None = 2) -> str:
        """The report as JSON text; infinities and NaN become null."""
        return json.dumps(_plain(dataclasses.asdict(self)), indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not a report of this version.
        """
        try:
            data = json.loads(text)
            data["stages"] = [StageReport(**row) for row in data["stages"]]
            data["candidates"] = [CandidateReport(**row) for row in data["candidates"]]
            data["kernels"] = [KernelReport(**row) for row in data.get("kernels", ())]
            data["frozen"] = data["frozen"] and FrozenReport(**data["frozen"])
            data["memory"] = data.get("memory") and MemoryReport(**data["memory"])
            data["changes"] = [tuple(row) for row in data["changes"]]
            return cls(**data)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"expected a report as JSON, but: {error!r}") from error

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def xla_seconds(self) -> float:
        """The part of it in which XLA compiled or ran programs."""
        return sum(stage.xla_seconds for stage in self.stages)

    @property
    def own_seconds(self) -> float:
        """The part of it that saturax itself took."""
        return self.seconds - self.xla_seconds


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if isinstance(value, int | str | bool | type(None)) else str(value)
