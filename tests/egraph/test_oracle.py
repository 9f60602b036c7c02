"""The engine against egglog: the same rules must saturate to the same numbers of e-nodes."""

from typing import Any

import pytest

from saturax.egraph import EGraph, Limits, PatternNode, PatternVar, StopReason, pattern, saturate

from .terms import (
    ADD_NEGATED,
    ADD_ZERO,
    ASSOCIATE,
    CANCEL,
    DISTRIBUTE,
    FACTOR,
    MULTIPLY_ONE,
    NEGATE_TWICE,
    SUBTRACT_AS_ADD,
    TemplateRule,
    constant,
    insert,
    leaf,
    op,
    unary,
)

pytestmark = pytest.mark.oracle
bindings = pytest.importorskip("egglog.bindings", reason="needs egglog: pip install '.[oracle]'")

SORTS = """
(datatype Term
  (parameter String) (constant i64) (unary String Term) (binary String Term Term))
"""
COMMUTE = [
    TemplateRule(f"commute_{f}", op(f, "x", "y"), op(f, "y", "x")) for f in ("add", "multiply")
]
NEGATE_SUM = TemplateRule(
    "negate_sum",
    unary("negate", op("add", "x", "y")),
    op("add", unary("negate", "x"), unary("negate", "y")),
)
RULE_SETS = {
    "sums": [ASSOCIATE, *COMMUTE],
    "no growth": [ADD_ZERO, MULTIPLY_ONE, CANCEL, NEGATE_TWICE, *COMMUTE],
    "ring without associativity": [DISTRIBUTE, FACTOR, ADD_ZERO, MULTIPLY_ONE, *COMMUTE],
    "negation": [NEGATE_TWICE, NEGATE_SUM, SUBTRACT_AS_ADD, ADD_NEGATED, ADD_ZERO, *COMMUTE],
}
A, B, C, D = map(leaf, "abcd")
TERMS = [
    op("add", op("add", op("add", A, B), C), op("add", D, leaf("e"))),
    op("multiply", op("add", A, op("add", B, C)), op("add", C, D)),
    op("subtract", op("add", A, constant(0)), unary("negate", op("subtract", B, B))),
    op("add", op("multiply", A, unary("negate", B)), op("multiply", constant(1), op("add", B, A))),
    op("subtract", op("subtract", A, B), op("subtract", unary("negate", C), op("add", A, B))),
]


def text(term: PatternNode | PatternVar) -> str:
    """An egglog expression."""
    if isinstance(term, PatternVar):
        return term.name
    attributes = [f'"{a}"' if isinstance(a, str) else str(a) for a in term.attributes]
    return f"({' '.join([term.op, *attributes, *map(text, term.operands)])})"


def egglog_sizes(term: PatternNode, rules: list[TemplateRule]) -> dict[str, int]:
    """Numbers of e-nodes by operation, after saturation by egglog."""
    rewrites = "\n".join(f"(rewrite {text(rule.pattern)} {text(rule.right)})" for rule in rules)
    operations = ("parameter", "constant", "unary", "binary")
    sizes = "\n".join(f"(print-size {operation})" for operation in operations)
    program = f"{SORTS}{rewrites}\n(let start {text(term)})\n(run-schedule (saturate (run)))\n"
    egraph = bindings.EGraph()
    outputs: list[Any] = egraph.run_program(*egraph.parse_program(program + sizes))
    counts = [o.size for o in outputs if isinstance(o, bindings.PrintFunctionSize)]
    return dict(zip(operations, counts, strict=True))


def our_sizes(term: PatternNode, rules: list[TemplateRule]) -> dict[str, int]:
    """The same by saturax, which is told of no commutativity: it has rules for it here."""
    egraph = EGraph(None, lambda _, attributes: False)
    insert(egraph, term)
    report = saturate(egraph, rules, Limits(time_limit_s=60))
    assert report.stop_reason is StopReason.SATURATED
    operations = ("parameter", "constant", "unary", "binary")
    return {
        operation: sum(len(egraph.nodes_of(id, operation)) for id in egraph.classes_of(operation))
        for operation in operations
    }


@pytest.mark.parametrize("name", RULE_SETS)
@pytest.mark.parametrize("term", TERMS, ids=range(len(TERMS)))
def test_same_saturated_counts(term: PatternNode, name: str) -> None:
    assert our_sizes(term, RULE_SETS[name]) == egglog_sizes(term, RULE_SETS[name])


def test_patterns_translate() -> None:
    term = pattern("binary", "x", constant(0), at=("add",))
    assert text(term) == '(binary "add" x (constant 0))'
