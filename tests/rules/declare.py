"""How false rules are declared: with the kinds of failure that they must be caught by."""

from __future__ import annotations

from typing import Any

from saturax.rules.rule import Numerics, Rule, rule

FALSE_RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {}
"""Each false rule by name, with the kinds of failure that may be reported first."""


def false_rule(left: Any, numerics: Numerics, *kinds: str, **fields: Any) -> Any:
    """Declare a false rule; `kinds` are the first words of the failures that it may cause."""

    def declare(right: Any) -> Rule:
        declared: Rule = rule(left, numerics=numerics, source="nowhere", **fields)(right)
        assert declared.name not in FALSE_RULES, f"two false rules are called {declared.name}"
        FALSE_RULES[declared.name] = declared, kinds
        return declared

    return declare
