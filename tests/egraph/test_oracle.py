"""The engine against egglog: the same rules must lead to the same numbers of e-nodes."""

from collections import Counter
from functools import cache
from typing import Any

import jax
import pytest
from benchmarks.models import workloads

from saturax.egraph import (
    EGraph,
    Limits,
    PatternAttribute,
    PatternNode,
    PatternVar,
    Recipe,
    RecipeStep,
    StopReason,
    pattern,
    saturate,
)
from saturax.graph.build import GraphBuilder
from saturax.graph.ir import Graph
from saturax.graph.ops import generic_of
from saturax.graph.ops.elementwise import COMMUTATIVE
from saturax.rules import all_rules
from saturax.stablehlo import import_module

from .exported import Exporter, as_template
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


# ------------------------------------------------------------------ our rules on the workloads

MODELS = ("nasrnn", "bert", "gpt2", "resnet", "kan1", "lstm_batch1", "squeezenet")
ITERATIONS = 4


@cache
def exported_rules() -> tuple[TemplateRule, ...]:
    """Rules of saturax that Python computes nothing in, and commutativity."""
    templates = [as_template(rule) for rule in all_rules()]
    commute = [TemplateRule(f"commute_{f}", op(f, "x", "y"), op(f, "y", "x")) for f in COMMUTATIVE]
    return (*(template for template in templates if template is not None), *sorted_by_name(commute))


def sorted_by_name(rules: list[TemplateRule]) -> list[TemplateRule]:
    return sorted(rules, key=lambda rule: rule.name)


class TypedRule:
    """A template with types: those of operations that the table infers."""

    def __init__(self, template: TemplateRule) -> None:
        self.name, self.pattern, self.right = template.name, template.pattern, template.right
        self.uses_facts = False
        self.only_merges = False

    def recipe(self, attributes: Any, operand_types: Any, root_type: Any, facts: Any = None) -> Any:
        builder = GraphBuilder(tuple(operand_types.values()), exact=True)
        operands = dict(zip(operand_types, builder.parameters, strict=True))

        def build(term: Any) -> Any:
            if isinstance(term, PatternVar):
                return operands[term.name]
            values = tuple(
                attributes[a.name] if isinstance(a, PatternAttribute) else a
                for a in term.attributes
            )
            return builder.make(term.op, values, tuple(map(build, term.operands)))

        result = build(self.right).index
        names: list[str | int] = [*operand_types, *range(len(builder.nodes) - len(operand_types))]
        steps = tuple(
            RecipeStep(node.op, node.attributes, tuple(names[i] for i in node.operands), node.type)
            for node in builder.nodes[len(operand_types) :]
        )
        return Recipe(steps, names[result])


@cache
def model(name: str) -> Graph:
    (workload,) = workloads(names=[name])
    program = workload.build(reduced=True)
    with workload.context():
        lowered = jax.jit(program.function).lower(program.parameters, *program.inputs)
        return largest(import_module(lowered.compiler_ir("stablehlo")).graph)


def largest(graph: Graph) -> Graph:
    """The program, or the loop body in it that has more operations."""
    generic = [g for g in map(generic_of, graph.nodes) if g is not None]
    bodies = [largest(region) for g in generic for region in g.regions]
    return max([*bodies, graph], key=lambda body: len(body.nodes))


def sizes_by_egglog(graph: Graph) -> Counter[tuple[str, int]]:
    exporter = Exporter()
    text = exporter.program(exported_rules(), graph, f"(run {ITERATIONS})")
    egraph = bindings.EGraph()
    outputs: list[Any] = egraph.run_program(*egraph.parse_program(text))
    counts = [o.size for o in outputs if isinstance(o, bindings.PrintFunctionSize)]
    found: Counter[tuple[str, int]] = Counter()
    for operation, count in zip(exporter.operations, counts, strict=True):
        found[operation] += count
    return +found


def sizes_by_saturax(graph: Graph) -> Counter[tuple[str, int]]:
    egraph = EGraph(None, lambda _, attributes: False)
    ids: list[int] = []
    for node in graph.nodes:
        operands = tuple(ids[i] for i in node.operands)
        ids.append(egraph.add(node.op, node.attributes, operands, node.type))
    limits = Limits(60, 10**6, ITERATIONS, matches_per_rule=10**7)
    report = saturate(egraph, [TypedRule(rule) for rule in exported_rules()], limits)
    assert report.stop_reason in (StopReason.SATURATED, StopReason.ITERATION_LIMIT)
    found: Counter[tuple[str, int]] = Counter()
    for op_name in {node.op for node in graph.nodes} | {"unary", "binary", "ternary", "constant"}:
        for id in egraph.classes_of(op_name):
            found.update((op_name, len(n.children)) for n in egraph.nodes_of(id, op_name))
    return found


def test_many_rules_can_be_exported() -> None:
    assert len(exported_rules()) > 40


@pytest.mark.parametrize("name", MODELS)
def test_same_counts_on_models(name: str) -> None:
    graph = model(name)
    ours = sizes_by_saturax(graph)
    assert ours == sizes_by_egglog(graph)
    assert ours.total() > len(graph.nodes)
