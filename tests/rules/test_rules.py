"""Every rule that comes with saturax, on random well-typed instances."""

from __future__ import annotations

import pytest

from saturax.graph.sampling import DTYPES
from saturax.rules import all_rules, families
from saturax.rules.rule import Rule
from saturax.testing import Distribution, check

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
