"""Every rule that comes with saturax, on random well-typed instances."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from saturax.graph.sampling import DTYPES
from saturax.rules import all_rules, families
from saturax.rules.rule import Examples, Rule
from saturax.testing import Distribution, check, instances

each_rule = pytest.mark.parametrize(
    "rule", all_rules(), ids=lambda rule: f"{rule.family}.{rule.name}"
)


def test_no_family_is_missing() -> None:
    operations = {"elementwise", "constants", "layout", "slicing", "reduction", "indexing"}
    assert operations | {"contraction", "convolution"} <= set(families())


@each_rule
def test_rule(rule: Rule) -> None:
    report = check(rule, count=25)
    assert not report.failures, report.failures[0]


def _some_of(examples: Examples) -> Examples:
    """Examples with about half of what they say left out: it is drawn like anything else."""

    def draw(rng: np.random.Generator) -> dict[str, Any]:
        kept = float(rng.choice([0.0, 0.5, 0.75]))
        return {name: value for name, value in examples(rng).items() if rng.random() < kept}

    return draw


@pytest.mark.parametrize(
    "rule", [rule for rule in all_rules() if rule.examples], ids=lambda rule: rule.name
)
def test_right_sides_do_not_fail_beyond_the_examples(rule: Rule, monkeypatch: Any) -> None:
    """A rule that raises for some operation costs its program all that it would find."""
    assert rule.examples is not None
    anything = replace(rule, examples=_some_of(rule.examples))
    module = import_module("saturax.testing.instances")
    monkeypatch.setattr(module, "budget", lambda count: 40)
    # What is left of an example may be of no use for the rest, and then no draw fits it.
    with suppress(IndexError, RuntimeError):
        list(instances(anything, 20, np.random.default_rng(len(rule.name))))


FEWEST = 200
"""Instances on which each rule is checked in the long run."""


@pytest.mark.long
@each_rule
def test_rule_at_length(rule: Rule) -> None:
    applied = 0
    for seed in range(1, 9):
        report = check(rule, count=2 * FEWEST, seed=seed)
        assert not report.failures, report.failures[0]
        applied += report.applied
        if applied >= FEWEST:
            return
    pytest.fail(f"{rule.name} applied to {applied} of some 260,000 left sides: give it `examples`")


def test_instances_cover_ranks_sizes_and_types() -> None:
    """What instances are like, over a rule of each family; `pytest -s` prints it."""
    first = {rule.family: rule for rule in reversed(all_rules())}
    total = Distribution()
    for rule in first.values():
        found = check(rule, count=12).distribution
        total.ranks += found.ranks
        total.sizes += found.sizes
        total.dtypes += found.dtypes
    print(total)
    applied = 12 * len(first)
    assert min(total.ranks[rank] for rank in range(5)) > applied // 20
    assert total.ranks[5] > 0
    assert total.sizes[1] > applied // 5
    assert total.sizes[0] > applied // 40
    assert set(DTYPES) <= set(total.dtypes)
