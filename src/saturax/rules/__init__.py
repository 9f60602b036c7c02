"""The rules that come with saturax; a rule's family is the module that it lives in."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from saturax.rules.rule import Numerics, Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, families in alphabetical order and rules in order of definition.

    Raises `AssertionError` if two rules share a name.
    """
    found: dict[str, Rule] = {}
    for module in iter_modules(__path__, f"{__name__}."):
        family = module.name.rpartition(".")[2]
        for value in vars(import_module(module.name)).values():
            if isinstance(value, Rule) and value.family == family:
                assert value.name not in found, f"two rules are called {value.name}"
                found[value.name] = value
    return tuple(found.values())


def families() -> tuple[str, ...]:
    """The names of the families, in alphabetical order."""
    return tuple(dict.fromkeys(rule.family for rule in all_rules()))


def rules_within(numerics: Numerics) -> tuple[Rule, ...]:
    """The rules that a numerics setting admits: those of that class and of stricter ones."""
    return tuple(rule for rule in all_rules() if rule.numerics <= numerics)
