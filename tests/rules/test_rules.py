"""Every rule that comes with saturax, on random well-typed instances."""

from __future__ import annotations

import pytest

from saturax.rules import all_rules, families
from saturax.rules.rule import Rule
from saturax.testing import check

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


@pytest.mark.long
@each_rule
def test_rule_at_length(rule: Rule) -> None:
    report = check(rule, count=250, seed=1)
    assert not report.failures, report.failures[0]
