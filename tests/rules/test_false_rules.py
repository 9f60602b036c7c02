"""The harness that tests rules is tested itself: it must catch every false rule."""

from __future__ import annotations

import pytest

from saturax.errors import RuleError
from saturax.testing import check

from .false_rules import FALSE_RULES


@pytest.mark.parametrize("name", FALSE_RULES)
def test_false_rule_is_caught(name: str) -> None:
    rule, kinds = FALSE_RULES[name]
    report = check(rule, count=100)
    assert report.failures, f"{name} passed on {report.applied} of {report.drawn} instances"
    kind, _, message = report.failures[0].partition(": ")
    assert kind in kinds
    assert f"rule {name}" in message
    with pytest.raises(RuleError, match=name):
        report.raise_if_failed()


def test_failure_shows_the_instance() -> None:
    rule, _ = FALSE_RULES["swap_branches"]
    text = check(rule).failures[0]
    for part in ("the left side is", "inputs", "where p =", "left side:", "right side:", "ternary"):
        assert part in text
