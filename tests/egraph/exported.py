"""Rules and graphs for egglog: which rules can be exported is found by watching what they do.

A rule can if its right side always has the same operations, whose attributes are copied from the
left side or always the same, and if it applied to every left side that was drawn: then Python
computes nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from saturax.egraph import PatternAttribute, PatternNode, PatternVar
from saturax.egraph.heads import exact_key
from saturax.errors import RuleError
from saturax.graph.ir import Graph
from saturax.graph.sampling import DTYPES
from saturax.rules.rule import Rule
from saturax.testing import Instance, instances

from .terms import TemplateRule

_INSTANCES = 40


def as_template(rule: Rule) -> TemplateRule | None:
    """The rule as a pair of patterns, or None if it computes something."""
    if rule.structured or rule.uses_facts or rule.only_merges or rule.examples is not None:
        return None
    pattern = rule.pattern
    if any(node.op == "constant" for _, node in pattern.walk()):
        return None
    drawn = _drawn(rule)
    if len(drawn) < _INSTANCES:
        return None
    candidates = [_candidates(instance) for instance in drawn]
    if len({structure for structure, _ in candidates}) != 1:
        return None
    chosen: list[Any] = []
    for options in zip(*(attributes for _, attributes in candidates), strict=True):
        shared = [o for o in options[0] if all(o in other for other in options)]
        if not shared:
            return None
        chosen.append(shared[0])
    return TemplateRule(rule.name, pattern, _rebuilt(drawn[0].right, drawn[0], iter(chosen)))


class _RefusedError(Exception):
    """The rule did not apply to a left side that was drawn."""


def _drawn(rule: Rule) -> list[Instance]:
    """Instances of a rule that applies to all left sides; none of another."""

    def watched(**arguments: Any) -> Any:
        result = None
        try:
            result = rule.right(**arguments)
        finally:
            if result is None:
                raise _RefusedError
        return result

    rng = np.random.default_rng(0)
    try:
        return list(instances(replace(rule, right=watched), _INSTANCES, rng, DTYPES))
    except RuleError:
        return []


def _candidates(instance: Instance) -> tuple[Any, list[list[Any]]]:
    """The structure of a right side, and what each attribute may stand for."""
    graph = instance.right
    structure = (
        tuple((node.op, node.operands, len(node.attributes)) for node in graph.nodes),
        graph.outputs,
    )
    attributes: list[list[Any]] = []
    for node in graph.nodes:
        if node.op == "parameter":
            continue
        for value in node.attributes:
            copies = [
                PatternAttribute(name)
                for name, bound in instance.attributes.items()
                if exact_key(bound) == exact_key(value)
            ]
            attributes.append([*copies, value])
    return structure, attributes


def _rebuilt(graph: Graph, instance: Instance, attributes: Iterable[Any]) -> Any:
    """The right side as a pattern."""
    names = list(instance.operands)
    values: list[PatternNode | PatternVar] = []
    rest = iter(attributes)
    for node in graph.nodes:
        if node.op == "parameter":
            values.append(PatternVar(names[node.attributes[0]]))  # type: ignore[index]
            continue
        chosen = tuple(next(rest) for _ in node.attributes)
        values.append(PatternNode(node.op, chosen, tuple(values[i] for i in node.operands)))
    return values[graph.outputs[0]]


class Exporter:
    """Writes patterns and graphs as egglog programs; attributes are interned as strings."""

    def __init__(self) -> None:
        self._attributes: dict[Any, int] = {}
        self._constructors: dict[tuple[str, int, int], str] = {}

    def constructor(self, op: str, attributes: int, arity: int) -> str:
        """Name of the constructor of an operation."""
        key = (op, attributes, arity)
        return self._constructors.setdefault(key, f"op{len(self._constructors)}")

    def attribute(self, value: Any) -> str:
        """An attribute: a variable of a pattern, or a string that stands for the value."""
        if isinstance(value, PatternAttribute):
            return f"a_{value.name}"
        key = exact_key(value)
        return f'"{self._attributes.setdefault(key, len(self._attributes))}"'

    def pattern(self, term: Any) -> str:
        """An expression for a pattern."""
        if isinstance(term, PatternVar):
            return f"x_{term.name}"
        name = self.constructor(term.op, len(term.attributes), len(term.operands))
        parts = [*map(self.attribute, term.attributes), *map(self.pattern, term.operands)]
        return f"({name} {' '.join(parts)})" if parts else f"({name})"

    def rewrite(self, rule: TemplateRule) -> str:
        """A command for a rule."""
        return f"(rewrite {self.pattern(rule.pattern)} {self.pattern(rule.right)})"

    def graph(self, graph: Graph) -> list[str]:
        """A command for each node; a node's type is among its attributes where it is a leaf."""
        lines = []
        for index, node in enumerate(graph.nodes):
            attributes: tuple[Any, ...] = node.attributes
            name = self.constructor(node.op, len(attributes), len(node.operands))
            parts = [*map(self.attribute, attributes), *(f"n{i}" for i in node.operands)]
            lines.append(f"(let n{index} ({name} {' '.join(parts)}))")
        return lines

    def program(self, rules: Iterable[TemplateRule], graph: Graph, schedule: str) -> str:
        """A whole program, which prints the size of every constructor at its end."""
        rewrites = [self.rewrite(rule) for rule in rules]
        nodes = self.graph(graph)
        sorts = [
            f"({name} {' '.join(['String'] * attributes + ['Term'] * arity)})"
            for (_, attributes, arity), name in self._constructors.items()
        ]
        sizes = [f"(print-size {name})" for name in self._constructors.values()]
        lines = [f"(datatype Term {' '.join(sorts)})", *rewrites, *nodes, schedule, *sizes]
        return "\n".join(lines)

    @property
    def operations(self) -> list[tuple[str, int]]:
        """Operation and arity of each constructor, in order of their sizes."""
        return [(op, arity) for op, _, arity in self._constructors]
