"""The rules that come with saturax, by the family of their left side's root operation."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from saturax.rules.rule import Numerics, Rule

FAMILIES = (
    "elementwise",
    "constants",
    "layout",
    "slicing",
    "contraction",
    "convolution",
    "reduction",
    "indexing",
)


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, in the order of families and of definition.

    Raises `RuleError` if two rules share a name.
    """
    found: dict[str, Rule] = {}
    for family in FAMILIES:
        module = import_module(f"saturax.rules.{family}")
        for value in vars(module).values():
            if isinstance(value, Rule) and value.family == family:
                assert value.name not in found, f"two rules are called {value.name}"
                found[value.name] = value
    return tuple(found.values())


def rules_within(numerics: Numerics) -> tuple[Rule, ...]:
    """The rules that a numerics setting admits: those of that class and of stricter ones."""
    return tuple(rule for rule in all_rules() if rule.numerics <= numerics)
