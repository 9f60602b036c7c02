"""What saturax did to one program and why, as data that serialises to JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class StageReport:
    """How long a stage took (wall time, seconds) and what it has to say, as name → value."""

    name: str
    seconds: float
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class CandidateReport:
    """One program that was tried: predicted time, checked, measured, and what became of it.

    `time_us` is the measured median, `ratio` the original's time over this one's (> 1 is faster),
    `interval` its 95 % confidence interval. `outcome` is "chosen", "slower", "rejected" or
    "failed".
    """

    name: str
    predicted_us: float
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


@dataclass
class Report:
    """Everything about one optimised program.

    `outcome` is "optimized" or "original"; `reason` says why in a sentence. Times are microseconds
    of one call on `device`. `changes` counts operations: (operation, before, after).
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
    warnings: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self, indent: int | None = 2) -> str:
        """The report as JSON text; infinities and NaN become null."""
        return json.dumps(_plain(dataclasses.asdict(self)), indent=indent)

    @property
    def seconds(self) -> float:
        """Wall time of all stages."""
        return sum(stage.seconds for stage in self.stages)


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
