"""Shared by the e-graph tests: rules written as two patterns, terms, and a random term builder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saturax.egraph import (
    EGraph,
    PatternAttribute,
    PatternNode,
    PatternVar,
    Recipe,
    RecipeStep,
    pattern,
)

INT = "i32"


@dataclass(frozen=True)
class TemplateRule:
    """A rule whose right side is a pattern too, of the root's type throughout."""

    name: str
    pattern: PatternNode
    right: PatternNode | PatternVar
    uses_facts: bool = False
    only_merges: bool = False

    def recipe(
        self,
        attributes: Mapping[str, Any],
        operand_types: Mapping[str, Any],
        root_type: Any,
        facts: Mapping[str, Any] | None = None,
    ) -> Recipe | None:
        steps: list[RecipeStep] = []

        def build(term: PatternNode | PatternVar) -> str | int:
            if isinstance(term, PatternVar):
                return term.name
            operands = tuple(build(operand) for operand in term.operands)
            values = tuple(
                attributes[a.name] if isinstance(a, PatternAttribute) else a
                for a in term.attributes
            )
            steps.append(RecipeStep(term.op, values, operands, root_type))
            return len(steps) - 1

        result = build(self.right)
        return Recipe(tuple(steps), result)


def op(f: Any, x: Any, y: Any) -> PatternNode:
    """A binary operation."""
    return pattern("binary", x, y, at=(f,))


def unary(f: Any, x: Any) -> PatternNode:
    """A unary operation."""
    return pattern("unary", x, at=(f,))


def constant(value: int) -> PatternNode:
    """A constant."""
    return pattern("constant", at=(value,))


def leaf(name: str) -> PatternNode:
    """A parameter."""
    return pattern("parameter", at=(name,))


def is_commutative(name: str, attributes: tuple[Any, ...]) -> bool:
    """Sums and products commute."""
    return name == "binary" and attributes[0] in ("add", "multiply")


def make_egraph(analysis: Any = None) -> EGraph:
    """An empty e-graph in which sums and products commute."""
    return EGraph(analysis, is_commutative)


def insert(egraph: EGraph, term: PatternNode, type: Any = INT) -> int:
    """Add a ground term and return its class."""
    children = tuple(insert(egraph, o, type) for o in term.operands if isinstance(o, PatternNode))
    return egraph.add(term.op, term.attributes, children, type)


X = PatternVar("x")
ASSOCIATE = TemplateRule(
    "associate", op("add", op("add", "x", "y"), "z"), op("add", "x", op("add", "y", "z"))
)
DISTRIBUTE = TemplateRule(
    "distribute",
    op("multiply", "x", op("add", "y", "z")),
    op("add", op("multiply", "x", "y"), op("multiply", "x", "z")),
)
FACTOR = TemplateRule(
    "factor",
    op("add", op("multiply", "x", "y"), op("multiply", "x", "z")),
    op("multiply", "x", op("add", "y", "z")),
)
ADD_ZERO = TemplateRule("add_zero", op("add", "x", constant(0)), X)
MULTIPLY_ONE = TemplateRule("multiply_one", op("multiply", "x", constant(1)), X)
CANCEL = TemplateRule("cancel", op("subtract", "x", "x"), constant(0))
NEGATE_TWICE = TemplateRule("negate_twice", unary("negate", unary("negate", "x")), X)
SUBTRACT_AS_ADD = TemplateRule(
    "subtract_as_add", op("subtract", "x", "y"), op("add", "x", unary("negate", "y"))
)
ADD_NEGATED = TemplateRule("add_negated", op("add", "x", unary("negate", "x")), constant(0))
F = PatternAttribute("f")
HOIST_NEGATE = TemplateRule(
    "hoist_negate",
    pattern("binary", unary(F, "x"), unary(F, "y"), at=("multiply",)),
    op("multiply", "x", "y"),
)
RULES = [
    ASSOCIATE,
    DISTRIBUTE,
    FACTOR,
    ADD_ZERO,
    MULTIPLY_ONE,
    CANCEL,
    NEGATE_TWICE,
    SUBTRACT_AS_ADD,
    ADD_NEGATED,
]
