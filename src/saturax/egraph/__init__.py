"""The e-graph engine: patterns and rules in, a saturated e-graph out.

`EGraph` holds equivalent programs, `saturate` grows it by rules under `Limits`, `explain` and
`rules_between` tell which rules made two programs equal.
"""

from saturax.egraph.analysis import Analysis, ENode
from saturax.egraph.egraph import EGraph
from saturax.egraph.errors import RuleApplicationError, RuleTypeError, TypeClashError
from saturax.egraph.explain import Step, explain, rules_between
from saturax.egraph.limits import (
    IterationReport,
    Limits,
    RuleStatistics,
    SaturationReport,
    StopReason,
)
from saturax.egraph.matcher import Match, Matcher
from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar, pattern
from saturax.egraph.proof import CONGRUENCE
from saturax.egraph.recipe import Recipe, RecipeStep, Rule
from saturax.egraph.saturate import saturate
from saturax.egraph.store import ANALYSIS, INPUT

__all__ = [
    "ANALYSIS",
    "CONGRUENCE",
    "INPUT",
    "Analysis",
    "EGraph",
    "ENode",
    "IterationReport",
    "Limits",
    "Match",
    "Matcher",
    "PatternAttribute",
    "PatternNode",
    "PatternVar",
    "Recipe",
    "RecipeStep",
    "Rule",
    "RuleApplicationError",
    "RuleStatistics",
    "RuleTypeError",
    "SaturationReport",
    "Step",
    "StopReason",
    "TypeClashError",
    "explain",
    "pattern",
    "rules_between",
    "saturate",
]
