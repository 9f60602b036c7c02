"""Random well-typed instances of a rule: a left side that it matches, and its right side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.sampling import DTYPES, FREE, Draw, admits, complete
from saturax.graph.sampling.windows import reduces
from saturax.graph.types import TensorType, Type
from saturax.rules.facts import Facts
from saturax.rules.rule import Placeholder, Rule

POPULAR = ("f32",) * 6 + ("f64", "i32", "i32") + DTYPES
"""Element types as often as instances have them: all of them, f32 mostly."""


@dataclass(frozen=True)
class Instance:
    """A left side of `rule`, with the right side that the rule gives; both have the same inputs.

    `bindings` says what operands (types, or constants) and attributes are; `draw` counts the left
    sides drawn until this one, so that the n-th instance tells the share n / draw that applied.
    """

    rule: Rule
    left: Graph
    right: Graph
    bindings: Mapping[str, Any]
    draw: int
    is_reproducible: bool
    """Whether the e-graph knows all that the rule was told (facts come from constants only)."""

    @property
    def inputs(self) -> tuple[Type, ...]:
        """Types of the inputs of both sides."""
        return self.left.inputs

    def __str__(self) -> str:
        bindings = ", ".join(f"{name} = {value}" for name, value in self.bindings.items())
        return f"where {bindings}\nleft side:\n{_indented(self.left)}\nright side:\n" + _indented(
            self.right
        )


def _indented(graph: Graph) -> str:
    return "\n".join(f"    {line}" for line in str(graph).splitlines())


def budget(count: int) -> int:
    """How many left sides are drawn at most to find `count` to which a rule applies."""
    return 400 + 80 * count


def instances(
    rule: Rule, count: int, rng: np.random.Generator, dtypes: Sequence[str] = POPULAR
) -> Iterator[Instance]:
    """Up to `count` instances to which the rule applies; fewer if `budget(count)` draws end first.

    Raises `RuleError` if the right side raises or is ill-typed.
    """
    draw = Draw(rng)
    admitted = _admitted(rule.pattern, dtypes)
    found = 0
    for attempt in range(1, budget(count) + 1):
        draw.dtype = draw.pick(admitted)
        draw.recent_slice = None
        assignment = _assign(rule, draw)
        instance = None if assignment is None else _instantiate(rule, assignment, draw, attempt)
        if instance is not None:
            yield instance
            found += 1
            if found == count:
                return


def _admitted(pattern: PatternNode, dtypes: Sequence[str]) -> Sequence[str]:
    """The element types that the functions named in a pattern take; all if there are none, or
    if the pattern changes between types.
    """
    if any(_changes_type(node) for _, node in pattern.walk()):
        return dtypes

    def takes(dtype: str) -> bool:
        for _, node in pattern.walk():
            f = node.attributes[0] if node.attributes else None
            if node.op in ("unary", "binary", "ternary") and isinstance(f, str):
                if not admits(f, dtype):
                    return False
            elif node.op in ("reduce", "reduce_window") and isinstance(f, str):
                if not reduces(f, dtype):
                    return False
        return True

    return [dtype for dtype in dtypes if takes(dtype)] or dtypes


def _changes_type(node: PatternNode) -> bool:
    f = node.attributes[0] if node.attributes else None
    changing = ("is_finite", "real", "imag", "complex")
    return node.op in ("unary", "binary") and (not isinstance(f, str) or f in changing)


class _Assignment:
    """Values of a pattern's variables: attributes, operand types and constant operands."""

    def __init__(self, rule: Rule, draw: Draw) -> None:
        self.draw = draw
        self.shapes = dict(rule.structured)
        self.attributes: dict[str, Any] = {}
        self.parts: dict[str, Any] = {}
        self.types: dict[str, TensorType] = {}
        self.literals: dict[str, Literal] = {}

    def preset(self, examples: Mapping[str, Any]) -> None:
        """Take over what the rule's author drew."""
        for name, value in examples.items():
            if isinstance(value, TensorType):
                self.types[name] = value
            elif isinstance(value, Literal):
                # A constant operand, or the attribute of a `constant` in the pattern.
                self.literals[name] = value
                self.types[name] = value.type
                self.parts[name] = value
            else:
                self.parts[name] = value

    def partial(self, attribute: Any) -> Any:
        """What is known of an attribute of the pattern."""
        if not isinstance(attribute, PatternAttribute):
            return attribute
        if attribute.name in self.shapes:
            return self._substituted(self.shapes[attribute.name])
        return self.parts.get(attribute.name, FREE)

    def _substituted(self, shape: Any) -> Any:
        if isinstance(shape, Placeholder):
            return self.parts.get(shape.name, FREE)
        if isinstance(shape, tuple):
            items = [self._substituted(item) for item in shape]
            return type(shape)(*items) if hasattr(shape, "_fields") else tuple(items)
        return shape

    def bind(self, attribute: Any, value: Any) -> bool:
        """Record an attribute; False if a placeholder would need two values."""
        if not isinstance(attribute, PatternAttribute):
            return True
        self.attributes[attribute.name] = value
        shape = self.shapes.get(attribute.name, Placeholder(attribute.name))
        return self._bind_parts(shape, value)

    def _bind_parts(self, shape: Any, value: Any) -> bool:
        if isinstance(shape, Placeholder):
            return bool(self.parts.setdefault(shape.name, value) == value)
        if isinstance(shape, tuple):
            return all(map(self._bind_parts, shape, value))
        return True

    def solve(self, node: PatternNode, wanted: TensorType | None) -> TensorType | None:
        """Draw everything below a pattern node, of the type wanted; None if that failed.

        Mostly top-down: an operation is completed, then its operands are drawn to have the types it
        needs. Now and then an operand comes first, and the operation is completed around it.
        """
        draw = self.draw
        types = [
            self.types.get(x.name) if isinstance(x, PatternVar) else None for x in node.operands
        ]
        nested = [i for i, x in enumerate(node.operands) if isinstance(x, PatternNode)]
        if nested and draw.chance(0.5 if wanted is None else 0.1):
            first = nested.pop(draw.integer(0, len(nested) - 1))
            types[first] = self._solve_operand(node, first, None)
            if types[first] is None:
                return None
            # The operand may have bound variables that are operands here, too.
            for i, x in enumerate(node.operands):
                if isinstance(x, PatternVar):
                    types[i] = self.types.get(x.name)
        partial = tuple(map(self.partial, node.attributes))
        completion = complete(draw, node.op, wanted, types, partial)
        if completion is None or not all(map(self.bind, node.attributes, completion.attributes)):
            return None
        for x, type in zip(node.operands, completion.operands, strict=True):
            if isinstance(x, PatternVar) and self.types.setdefault(x.name, type) != type:
                return None
        for i in draw.shuffled(nested):
            if self._solve_operand(node, i, completion.operands[i]) is None:
                return None
        return completion.result

    def _solve_operand(
        self, node: PatternNode, index: int, wanted: TensorType | None
    ) -> TensorType | None:
        operand = node.operands[index]
        assert isinstance(operand, PatternNode)
        return self.solve(operand, wanted)


def _assign(rule: Rule, draw: Draw) -> _Assignment | None:
    assignment = _Assignment(rule, draw)
    if rule.examples is not None:
        assignment.preset(rule.examples(draw.rng))
    if assignment.solve(rule.pattern, None) is None:
        return None
    names = rule.pattern.variables
    if rule.uses_facts and names and not any(name in assignment.literals for name in names):
        share = draw.pick((0.0, 0.5, 0.5, 1.0))
        for name in names:
            if draw.chance(share):
                assignment.literals[name] = draw.literal(assignment.types[name])
    return assignment


def _instantiate(rule: Rule, assignment: _Assignment, draw: Draw, attempt: int) -> Instance | None:
    names = rule.pattern.variables
    literals = {name: assignment.literals[name] for name in names if name in assignment.literals}
    free = [name for name in names if name not in literals]
    frozen = {name for name in free if rule.uses_facts and draw.chance(0.15)}
    sides = []
    # The left side as a program has it; the right side as the engine builds it, without operations
    # that return their operand.
    for build, exact in ((_build_left, True), (_build_right, False)):
        builder = GraphBuilder(tuple(assignment.types[name] for name in free), exact=exact)
        operands = dict(zip(free, builder.parameters, strict=True))
        for name in frozen:
            operands[name].facts = Facts(None, True)
        for name, literal in literals.items():
            operands[name] = builder.make("constant", (literal,), ())
            operands[name].facts = Facts(literal, True)
        output = build(rule, assignment, builder, operands)
        if output is None:
            return None
        sides.append(builder.finish([output]))
    left, right = sides
    return Instance(
        rule,
        left,
        right,
        {name: literals.get(name, assignment.types[name]) for name in names}
        | {name: value for name, value in assignment.parts.items() if name in rule.parameters},
        attempt,
        not frozen,
    )


def _build_left(
    rule: Rule, assignment: _Assignment, builder: GraphBuilder, operands: dict[str, Value]
) -> Value | None:
    def build(node: PatternNode) -> Value:
        attributes = tuple(
            assignment.attributes[a.name] if isinstance(a, PatternAttribute) else a
            for a in node.attributes
        )
        children = tuple(
            operands[x.name] if isinstance(x, PatternVar) else build(x) for x in node.operands
        )
        return builder.make(node.op, attributes, children)

    return build(rule.pattern)


def _build_right(
    rule: Rule, assignment: _Assignment, builder: GraphBuilder, operands: dict[str, Value]
) -> Value | None:
    with building(builder):
        return rule.apply(assignment.attributes, operands)
