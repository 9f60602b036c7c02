"""Checking a rule: types, values in every bit or over the reals, the engine, and growth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from saturax.errors import RuleError, SaturaxError
from saturax.graph.sampling import Draw
from saturax.graph.types import TensorType
from saturax.rules.rule import Numerics, Rule
from saturax.testing.engine import check_engine
from saturax.testing.instances import Instance, budget, instances
from saturax.testing.precision import check_precision
from saturax.testing.values import Evidence, check_values

ENGINE_INSTANCES = 4
"""Instances of each rule on which the engine is run."""

FEWEST = 5
"""Instances below which a rule counts as vacuous: too few to tell anything about it."""


@dataclass
class Distribution:
    """What instances were like: counts by rank, by size of a dimension (7: that or more), by
    element type, over the distinct types that occur in each.
    """

    ranks: Counter[int] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)

    def count(self, instance: Instance) -> None:
        """Add an instance."""
        nodes = (*instance.left.nodes, *instance.right.nodes)
        types = {node.type for node in nodes if isinstance(node.type, TensorType)}
        self.ranks.update({type.rank for type in types})
        self.sizes.update({min(n, 7) for type in types for n in type.shape})
        self.dtypes.update({type.dtype for type in types})


@dataclass(frozen=True)
class RuleReport:
    """The outcome of checking a rule.

    It was applied to `applied` of `drawn` random left sides. Each failure is a text of several
    lines; its first word says what went wrong (`types:`, `bits:`, `integers:`, `values:`,
    `precision:`, `raised:`, `engine:`, `explosive:`, `vacuous:`, `untested:`). `evidence` counts
    the instances that were compared in each way, `distribution` tells what they were like.
    """

    rule: str
    drawn: int
    applied: int
    failures: tuple[str, ...]
    evidence: Counter[Evidence] = field(default_factory=Counter)
    distribution: Distribution = field(default_factory=Distribution)

    @property
    def share(self) -> float:
        """Share of the drawn left sides to which the rule applied."""
        return self.applied / max(self.drawn, 1)

    def raise_if_failed(self) -> None:
        """Raise `RuleError` with the first failure, if there is one."""
        if self.failures:
            raise RuleError(self.failures[0])


def check(
    rule: Rule,
    count: int = 25,
    seed: int = 0,
    most_failures: int = 1,
    given: Iterable[Instance] | None = None,
) -> RuleReport:
    """Test a rule on `count` random instances; stop after `most_failures` failures.

    Each instance must have one type on both sides and equal values: in every bit for BITWISE rules
    and for integers; over the reals (in double precision) for the others, and exactly, over ℤ and
    over a finite field, where both sides are ring or field operations. On some instances the
    e-graph must find the equation, and must stop growing unless the rule is `expansive`.
    `given` instances are tested instead of random ones.
    """
    rng = np.random.default_rng([seed, *rule.name.encode()])
    draw = Draw(rng)
    failures: list[str] = []
    evidence: Counter[Evidence] = Counter()
    distribution = Distribution()
    applied, drawn = 0, budget(count)
    try:
        for instance in instances(rule, count, rng) if given is None else given:
            applied, drawn = applied + 1, instance.draw if applied + 1 == count else drawn
            distribution.count(instance)
            found, compared = _check_instance(instance, draw, applied <= ENGINE_INSTANCES)
            evidence.update(compared)
            failures += found
            if len(failures) >= most_failures:
                drawn = instance.draw
                break
    except RuleError as error:
        failures.append(f"raised: {error}")
    if not failures and given is None:
        failures += _unconvincing(rule, applied, drawn, min(count, FEWEST))
    if not failures and applied and not evidence:
        failures.append(
            f"untested: no value of rule {rule.name} could be compared on {applied} instances: "
            "they were all empty, NaN or infinite. Give the rule `examples` with other operands."
        )
    return RuleReport(rule.name, drawn, applied, tuple(failures), evidence, distribution)


def _unconvincing(rule: Rule, applied: int, drawn: int, fewest: int) -> list[str]:
    if applied >= fewest:
        return []
    return [
        f"vacuous: rule {rule.name} applied to {applied} of {drawn} random left sides. Correct "
        "its condition, or give it `examples` that meet it."
    ]


def _check_instance(
    instance: Instance, draw: Draw, with_engine: bool
) -> tuple[list[str], frozenset[Evidence]]:
    """What failed, and what the sides were compared on."""
    left, right = instance.left.output_types[0], instance.right.output_types[0]
    if left != right:
        reason = f"the left side is {left}, the right side {right}"
        return [describe("types", instance, reason)], frozenset()
    evidence: frozenset[Evidence] = frozenset()
    try:
        failure, evidence = check_values(instance, draw)
        if failure is None and instance.rule.numerics in (Numerics.ROUNDING, Numerics.FINITE):
            failure = check_precision(instance)
        if failure is None and with_engine and instance.is_reproducible:
            failure = check_engine(instance)
    except SaturaxError as error:
        failure = ("raised", f"{type(error).__name__}: {error}")
    return [] if failure is None else [describe(failure[0], instance, failure[1])], evidence


def describe(kind: str, instance: Instance, reason: str) -> str:
    """A failure's text: what went wrong, then the instance that shows it."""
    rule = instance.rule
    head = f"{kind}: rule {rule.name} ({rule.equation}), {rule.numerics.name}: {reason}"
    return f"{head}\n{instance}"
