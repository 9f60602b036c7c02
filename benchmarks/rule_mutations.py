"""How many mistakes in rules the harness finds: right sides are changed at random, and checked.

    python benchmarks/rule_mutations.py --output mutations.json [--mutants 3] [--family layout]

A mutant is *killed* if `saturax.testing.check` reports a failure. Those that never apply are left
out; among those that survive are some that happen to be equal to the rule.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from saturax.errors import SaturaxError
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph, Node
from saturax.graph.operation import TABLE
from saturax.rules import all_rules, families
from saturax.rules.rule import Rule, need
from saturax.testing import check

INSTANCES = 60

_SIBLINGS = {
    "add": "subtract",
    "subtract": "add",
    "multiply": "add",
    "divide": "multiply",
    "maximum": "minimum",
    "minimum": "maximum",
    "and": "or",
    "or": "and",
    "xor": "or",
    "sine": "cosine",
    "cosine": "sine",
    "exponential": "exponential_minus_one",
    "log": "log_plus_one",
    "sqrt": "rsqrt",
    "rsqrt": "sqrt",
    "floor": "ceil",
    "ceil": "floor",
    "shift_left": "shift_right_logical",
}

Nodes = list[Node]


def swap_operands(nodes: Nodes, site: int) -> Node | None:
    """f(y, x) instead of f(x, y)."""
    node = nodes[site]
    if len(node.operands) < 2 or node.operands[0] == node.operands[1]:
        return None
    commutes = node.op == "binary" and node.attributes[0] in _COMMUTATIVE
    return None if commutes else node._replace(operands=(*node.operands[1::-1], *node.operands[2:]))


_COMMUTATIVE = ("add", "multiply", "maximum", "minimum", "and", "or", "xor")


def other_function(nodes: Nodes, site: int) -> Node | None:
    """+ instead of -, max instead of min, …"""
    f, *rest = nodes[site].attributes or (None,)
    sibling = _SIBLINGS.get(f) if isinstance(f, str) else None
    return None if sibling is None else nodes[site]._replace(attributes=(sibling, *rest))


def off_by_one(nodes: Nodes, site: int) -> Node | None:
    """One more in the first number of an attribute."""
    changed = _incremented(nodes[site].attributes)
    return None if changed is None else nodes[site]._replace(attributes=changed)


def _incremented(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value + 1
    if not isinstance(value, tuple):
        return None
    for i, item in enumerate(value):
        changed = _incremented(item)
        if changed is not None:
            items = (*value[:i], changed, *value[i + 1 :])
            return type(value)(*items) if hasattr(value, "_fields") else items
    return None


def rotate_attribute(nodes: Nodes, site: int) -> Node | None:
    """The numbers of an attribute in another order: a wrong axis."""
    attributes = list(nodes[site].attributes)
    for i, value in enumerate(attributes):
        if isinstance(value, tuple) and len(set(value)) > 1 and not hasattr(value, "_fields"):
            attributes[i] = (*value[1:], value[0])
            return nodes[site]._replace(attributes=tuple(attributes))
    return None


def other_operand(nodes: Nodes, site: int) -> Node | None:
    """Another value of the same type as the last operand."""
    node = nodes[site]
    if not node.operands:
        return None
    last = node.operands[-1]
    for index in range(site):
        if index != last and nodes[index].type == nodes[last].type:
            return node._replace(operands=(*node.operands[:-1], index))
    return None


Mutation = Callable[[Nodes, int], Node | None]
MUTATIONS: dict[str, Mutation] = {
    f.__name__: f
    for f in (swap_operands, other_function, off_by_one, rotate_attribute, other_operand)
}
NEGATE, SKIP, UNCONDITIONAL = "negate", "skip_operation", "drop_condition"
KINDS = (*MUTATIONS, NEGATE, SKIP, UNCONDITIONAL)


def mutant(rule: Rule, kind: str, choice: float) -> Rule:
    """The rule with a changed right side; `choice` in [0, 1) says where."""

    def right(**arguments: Any) -> Value:
        outer = next(value for value in arguments.values() if isinstance(value, Value)).builder
        graph, operands = _built(rule, arguments)
        return outer.inline(_mutated(graph, kind, choice), operands)[0]

    name = f"{rule.name}.{kind}.{choice:.2f}"
    return dataclasses.replace(rule, name=name, right=right, expansive=True)


def _built(rule: Rule, arguments: dict[str, Any]) -> tuple[Graph, list[Value]]:
    """The right side as a graph of its own, and what its inputs are."""
    names = [name for name, value in arguments.items() if isinstance(value, Value)]
    builder = GraphBuilder(tuple(arguments[name].type for name in names))
    inner = dict(zip(names, builder.parameters, strict=True))
    if rule.uses_facts:
        for name, value in inner.items():
            value.facts = arguments[name].facts
    with building(builder):
        result = rule.right(**(arguments | inner))
    need(result is not None)
    assert result is not None
    return builder.finish([result]), [arguments[name] for name in names]


def _mutated(graph: Graph, kind: str, choice: float) -> Graph:
    nodes, output = list(graph.nodes), graph.outputs[0]
    if kind == NEGATE:
        need(str(nodes[output].type)[-2:] != "i1")
        nodes.append(Node("unary", ("negate",), (output,), nodes[output].type))
        return Graph(graph.inputs, tuple(nodes), (len(nodes) - 1,))
    if kind == UNCONDITIONAL:
        return graph
    sites = [i for i, node in enumerate(nodes) if node.op not in ("parameter", "constant")]
    found = [(i, _at(nodes, i, kind)) for i in sites]
    possible = [(i, node) for i, node in found if node is not None]
    need(possible)
    site, node = possible[int(choice * len(possible))]
    assert node is not None
    nodes[site] = node
    return Graph(graph.inputs, tuple(nodes), graph.outputs)


def _at(nodes: Nodes, site: int, kind: str) -> Node | None:
    """The changed node, if the change is possible and keeps its type."""
    node = nodes[site]
    if kind == SKIP:
        same = [i for i in node.operands if nodes[i].type == node.type]
        # A slice of everything stands for the operand itself.
        return Node("reshape", (node.type.shape,), (same[0],), node.type) if same else None  # type: ignore[union-attr]
    changed = MUTATIONS[kind](nodes, site)
    if changed is None or changed == node or changed.op not in TABLE:
        return None
    try:
        types = [nodes[i].type for i in changed.operands]
        inferred = TABLE[changed.op].infer(changed.attributes, types)
    except (SaturaxError, LookupError, TypeError, ValueError):
        return None
    return changed if inferred == node.type else None


@contextmanager
def _no_conditions(rule: Rule, active: bool) -> Iterator[None]:
    """Let `need` hold always in the rule's module."""
    names = rule.right.__globals__
    if not active or "need" not in names:
        yield
        return
    original = names["need"]
    names["need"] = lambda condition: None
    try:
        yield
    finally:
        names["need"] = original


def judge(rule: Rule, kind: str, choice: float) -> tuple[str, str]:
    """What becomes of a mutant ("killed", "survived", "never applied"), and why it was killed."""
    changed = mutant(rule, kind, choice)
    with _no_conditions(rule, kind == UNCONDITIONAL):
        try:
            report = check(changed, count=INSTANCES)
        except Exception as error:  # a mutant may do anything
            return "killed", type(error).__name__
    word = report.failures[0].partition(":")[0] if report.failures else ""
    if word == "vacuous":
        return "never applied", ""
    return ("killed", word) if word else ("survived", "")


def main() -> None:
    """Judge mutants of every rule, and write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--mutants", type=int, default=3, help="mutants of each rule")
    parser.add_argument("--family", action="append", choices=families())
    parser.add_argument("--share", type=float, default=1.0, help="share of the rules to take")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    start = time.monotonic()
    rows = []
    for rule in all_rules():
        if (options.family and rule.family not in options.family) or rng.random() > options.share:
            continue
        for kind in rng.choice(KINDS, options.mutants, replace=False):
            choice = float(rng.random())
            fate, word = judge(rule, str(kind), choice)
            row = {"rule": rule.name, "family": rule.family, "kind": str(kind)}
            rows.append(row | {"choice": choice, "fate": fate, "failure": word})
    summary = {
        kind: dict(Counter(row["fate"] for row in rows if row["kind"] == kind)) for kind in KINDS
    }
    fates = Counter(row["fate"] for row in rows)
    share = fates["killed"] / max(fates["killed"] + fates["survived"], 1)
    document = {
        "killed_share": share,
        "by_kind": summary,
        "failures": dict(Counter(row["failure"] for row in rows if row["failure"])),
        "seconds": time.monotonic() - start,
        "rows": rows,
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{share:.1%} of {fates['killed'] + fates['survived']} mutants killed; {dict(fates)}")
    for kind, counts in summary.items():
        print(f"{kind:<18} {counts}")


if __name__ == "__main__":
    main()
