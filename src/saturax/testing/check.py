"""Checking a rule: types, values in every bit or over the reals, the engine, and growth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from saturax.errors import RuleError, SaturaxError
from saturax.graph.sampling import Draw
from saturax.rules.rule import Numerics, Rule
from saturax.testing.engine import check_engine
from saturax.testing.instances import Instance, budget, instances
from saturax.testing.precision import check_precision
from saturax.testing.values import check_values

ENGINE_INSTANCES = 4
"""Instances of each rule on which the engine is run."""

FEWEST = 5
"""Instances below which a rule counts as vacuous: too few to tell anything about it."""


@dataclass(frozen=True)
class RuleReport:
    """The outcome of checking a rule.

    It was applied to `applied` of `drawn` random left sides. Each failure is a text of several
    lines; its first word says what went wrong (`types:`, `bits:`, `integers:`, `values:`,
    `precision:`, `raised:`, `engine:`, `explosive:`, `vacuous:`).
    """

    rule: str
    drawn: int
    applied: int
    failures: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the drawn left sides to which the rule applied."""
        return self.applied / max(self.drawn, 1)

    def raise_if_failed(self) -> None:
        """Raise `RuleError` with the first failure, if there is one."""
        if self.failures:
            raise RuleError(self.failures[0])


def check(rule: Rule, count: int = 25, seed: int = 0, most_failures: int = 1) -> RuleReport:
    """Test a rule on `count` random instances; stop after `most_failures` failures.

    Each instance must have one type on both sides and equal values: in every bit for BITWISE rules
    and for integers; over the reals (in double precision) for the others, and exactly for integer
    inputs where both sides are ring operations. On some instances the e-graph must find the
    equation, and must stop growing unless the rule is `expansive`.
    """
    rng = np.random.default_rng([seed, *rule.name.encode()])
    draw = Draw(rng)
    failures: list[str] = []
    applied, drawn = 0, budget(count)
    try:
        for instance in instances(rule, count, rng):
            applied, drawn = applied + 1, instance.draw if applied + 1 == count else drawn
            failures += _check_instance(instance, draw, applied <= ENGINE_INSTANCES)
            if len(failures) >= most_failures:
                drawn = instance.draw
                break
    except RuleError as error:
        failures.append(f"raised: {error}")
    if not failures and applied < min(count, FEWEST):
        failures.append(
            f"vacuous: rule {rule.name} applied to {applied} of {drawn} random left sides. Correct "
            "its condition, or give it `examples` that meet it."
        )
    return RuleReport(rule.name, drawn, applied, tuple(failures))


def _check_instance(instance: Instance, draw: Draw, with_engine: bool) -> list[str]:
    left, right = instance.left.output_types[0], instance.right.output_types[0]
    if left != right:
        return [describe("types", instance, f"the left side is {left}, the right side {right}")]
    try:
        reason = check_values(instance, draw)
        if reason is None and instance.rule.numerics in (Numerics.ROUNDING, Numerics.FINITE):
            reason = check_precision(instance)
        if reason is None and with_engine and instance.is_reproducible:
            reason = check_engine(instance)
    except SaturaxError as error:
        reason = ("raised", f"{type(error).__name__}: {error}")
    return [] if reason is None else [describe(reason[0], instance, reason[1])]


def describe(kind: str, instance: Instance, reason: str) -> str:
    """A failure's text: what went wrong, then the instance that shows it."""
    rule = instance.rule
    head = f"{kind}: rule {rule.name} ({rule.equation}), {rule.numerics.name}: {reason}"
    return f"{head}\n{instance}"
