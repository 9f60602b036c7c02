"""A search by rules that keep every bit, for programs in which another rounding is a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from saturax.options import NUMERICS
from saturax.rules.rule import BITWISE, Rule
from saturax.run import Run
from saturax.search.outline import Outline
from saturax.search.pricing import Pricing
from saturax.search.rounds import Found, equalities_of, search

_EXACT = NUMERICS[BITWISE]


def search_exactly(
    run: Run, outline: Outline, rules: Sequence[Rule], pricing: Pricing
) -> Found | None:
    """What those of the rules lead to that keep every bit; None where there were no others."""
    if run.options.numerics == _EXACT:
        return None
    exact = [rule for rule in rules if rule.numerics is BITWISE]
    pricing.bodies.clear()  # of loops, made by the other rules
    with run.under(replace(run.options, numerics=_EXACT, user_rules=())):
        equalities = equalities_of(run, outline.graph, exact, pricing)
        return search(run, equalities, exact, pricing, outline.frozen)
