"""What the stages of a run may take: `Options.effort`, within the bounds of `time_limit_s`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Effort:
    """Limits of the stages; each is also held to its share of the time limit.

    Attributes:
        rounds: rounds of search, each beginning with the best program of the one before.
        saturation_s: seconds of one saturation.
        iterations: iterations of one saturation of a large program.
        nodes_per_operation: e-nodes that an operation of the program entitles to.
        sharing_s: seconds of looking for kernels that pay off when several users share them.
        extraction_s: seconds of the last, thorough extraction.
        variations: variations of the winner, compiled and timed, of which none is better.
    """

    rounds: int
    saturation_s: float
    iterations: int
    nodes_per_operation: int
    sharing_s: float
    extraction_s: float
    variations: int


EFFORTS: Mapping[str, Effort] = MappingProxyType(
    {
        "low": Effort(1, 1.0, 2, 3, 0.2, 0.5, 1),
        "medium": Effort(4, 4.0, 3, 6, 0.5, 4.0, 5),
        "high": Effort(8, 15.0, 5, 12, 4.0, 15.0, 15),
    }
)
"""The efforts by name, ascending."""
