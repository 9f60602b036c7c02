"""Limits of a saturation run, and the report of what it did."""

from dataclasses import dataclass, fields
from enum import StrEnum


class StopReason(StrEnum):
    """Why a run ended."""

    SATURATED = "saturated"
    NODE_LIMIT = "node limit"
    MEMORY_LIMIT = "memory limit"
    TIME_LIMIT = "time limit"
    ITERATION_LIMIT = "iteration limit"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop growing an e-graph.

    A rule with more than `matches_per_rule` matches in an iteration is banned for `ban_length`
    iterations, and both numbers double with each ban (egg's back-off). While the e-graph holds
    fewer than `small_nodes` e-nodes, the limit on iterations is `iteration_limit_if_small` if that
    is higher. Memory is bounded by `made_limit`, on the e-nodes ever made: those that turned out to
    be congruent to others are kept for proofs. At the end of time, `rebuild_grace_s` is left for a
    last rebuild. Raises ValueError on a negative limit.
    """

    time_limit_s: float = 10.0
    node_limit: int = 100_000
    made_limit: int = 200_000
    iteration_limit: int = 1_000
    small_nodes: int = 0
    iteration_limit_if_small: int = 0
    matches_per_rule: int = 10_000
    ban_length: int = 3
    rebuild_grace_s: float = 0.03

    def __post_init__(self) -> None:
        """Check the values."""
        positive = ("matches_per_rule", "ban_length")
        for name in (field.name for field in fields(self)):
            least = int(name in positive)
            if not getattr(self, name) >= least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")

    def iterations(self, nodes: int) -> int:
        """How many iterations an e-graph may take that holds so many e-nodes."""
        if nodes < self.small_nodes:
            return max(self.iteration_limit, self.iteration_limit_if_small)
        return self.iteration_limit


@dataclass(frozen=True, slots=True)
class RuleStatistics:
    """What one rule did in a run.

    `matches` counts those for which it gave a right side that was not known to be equal already,
    `applied` those that a limit let apply.
    """

    matches: int
    applied: int
    unions: int
    seconds: float
    times_banned: int


@dataclass(frozen=True, slots=True)
class IterationReport:
    """State of the e-graph after an iteration (1, 2, …); `seconds` since the run began."""

    iteration: int
    nodes: int
    classes: int
    unions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class SaturationReport:
    """Outcome of a run; `is_rebuilt` is False if time ran out before congruence was restored."""

    stop_reason: StopReason
    iterations: int
    nodes: int
    classes: int
    seconds: float
    is_rebuilt: bool
    rules: dict[str, RuleStatistics]
