"""Random well-typed instances of a rule: a left side that it matches, and its right side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar
from saturax.facts import facts_of_nodes
from saturax.graph.build import GraphBuilder, Value, building, result_types
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.sampling import DTYPES, FREE, Draw, admits, complete
from saturax.graph.sampling.windows import reduces
from saturax.graph.types import TensorType, Type
from saturax.rules.rule import Placeholder, Rule
from saturax.testing.structured import computed_operand, structured_literal

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
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Values of the pattern's attribute variables."""
    operands: Mapping[str, TensorType | Literal | Graph] = field(default_factory=dict)
    """What the pattern's operand variables stand for."""

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
        self.computed: dict[str, Graph] = {}
        self.solved: dict[PatternNode, Type] = {}

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
            elif isinstance(value, Graph):
                # An operand that is computed, so that facts about it are known.
                self.computed[name] = value
                self.types[name] = _tensor(value.output_types[0])
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

    def solve(self, node: PatternNode, wanted: TensorType | None, element: int = 0) -> Type | None:
        """Draw everything below a pattern node, of the type wanted; None if that failed.

        Of an operation with several results, `wanted` is the type of number `element`.
        Mostly top-down: an operation is completed, then its operands are drawn to have the types it
        needs. Now and then an operand comes first, and the operation is completed around it.
        """
        draw = self.draw
        if node.op == "get_result":
            return self._solve_result(node, wanted)
        types = [
            self.types.get(x.name) if isinstance(x, PatternVar) else None for x in node.operands
        ]
        nested = [i for i, x in enumerate(node.operands) if isinstance(x, PatternNode)]
        if nested and draw.chance(0.5 if wanted is None else 0.1):
            first = nested.pop(draw.integer(0, len(nested) - 1))
            found = self._solve_operand(node, first, None)
            if not isinstance(found, TensorType):
                return None
            types[first] = found
            # The operand may have bound variables that are operands here, too.
            for i, x in enumerate(node.operands):
                if isinstance(x, PatternVar):
                    types[i] = self.types.get(x.name)
        partial = tuple(map(self.partial, node.attributes))
        completion = complete(draw, node.op, wanted, types, partial, element)
        if completion is None or not all(map(self.bind, node.attributes, completion.attributes)):
            return None
        for x, type in zip(node.operands, completion.operands, strict=True):
            if isinstance(x, PatternVar) and self.types.setdefault(x.name, type) != type:
                return None
        for i in draw.shuffled(nested):
            if self._solve_operand(node, i, completion.operands[i]) is None:
                return None
        return completion.result

    def _solve_result(self, node: PatternNode, wanted: TensorType | None) -> Type | None:
        """Draw an operation with several results, of which one is wanted."""
        (operand,) = node.operands
        index = self.partial(node.attributes[0])
        if index is FREE:
            index = self.draw.integer(0, 1)
        if not isinstance(operand, PatternNode) or not self.bind(node.attributes[0], index):
            return None
        results = self.solve(operand, wanted, index)
        return None if results is None else result_types(results)[index]

    def _solve_operand(
        self, node: PatternNode, index: int, wanted: TensorType | None
    ) -> Type | None:
        operand = node.operands[index]
        assert isinstance(operand, PatternNode)
        # What stands twice in a pattern, as x in x·x, is one value.
        known = self.solved.get(operand)
        if known is not None:
            return known if wanted in (None, known) else None
        type = self.solve(operand, wanted)
        if type is not None:
            self.solved[operand] = type
        return type


def _assign(rule: Rule, draw: Draw) -> _Assignment | None:
    assignment = _Assignment(rule, draw)
    if rule.examples is not None:
        assignment.preset(rule.examples(draw.rng))
    if assignment.solve(rule.pattern, None) is None:
        return None
    if rule.uses_facts:
        _draw_facts(assignment, rule)
    return assignment


def _draw_facts(assignment: _Assignment, rule: Rule) -> None:
    """Make some operands constants or computed, unless the rule's author chose which.

    A rule that asks nothing, but holds of numbers only, must refuse some constants.
    """
    draw, names = assignment.draw, rule.pattern.variables
    if any(name in assignment.literals or name in assignment.computed for name in names):
        return
    share = draw.pick((0.0, 0.5, 0.5, 1.0))
    for name in names:
        type = assignment.types[name]
        if draw.chance(share):
            structured = draw.chance(0.3)
            assignment.literals[name] = (
                structured_literal(draw, type) if structured else draw.literal(type)
            )
        elif rule.asks_facts and draw.chance(0.3):
            graph = computed_operand(draw, type)
            if graph is not None:
                assignment.computed[name] = graph


def _tensor(type: Type) -> TensorType:
    assert isinstance(type, TensorType), f"expected an operand that is a tensor, got {type}"
    return type


def _instantiate(rule: Rule, assignment: _Assignment, draw: Draw, attempt: int) -> Instance | None:
    names = rule.pattern.variables
    free = [name for name in names if name not in assignment.literals]
    frozen = {
        name
        for name in free
        if rule.uses_facts and name not in assignment.computed and draw.chance(0.15)
    }
    # Most rules refuse most of what is drawn: the right side, which tells, comes first.
    right = _side(rule, assignment, frozen, is_left=False)
    left = None if right is None else _side(rule, assignment, frozen, is_left=True)
    if left is None or right is None:
        return None
    given = assignment.types | assignment.computed | assignment.literals
    return Instance(
        rule,
        left,
        right,
        {name: given[name] for name in names}
        | {name: value for name, value in assignment.parts.items() if name in rule.parameters},
        attempt,
        not frozen,
        assignment.attributes,
        {name: given[name] for name in names},
    )


def _side(rule: Rule, assignment: _Assignment, frozen: set[str], *, is_left: bool) -> Graph | None:
    """The left side as a program has it, or the right side as the engine builds it, without
    operations that return their operand; None if the rule does not apply.
    """
    names = rule.pattern.variables
    free = [name for name in names if name not in assignment.literals]
    types = [
        type
        for name in free
        for type in (
            assignment.computed[name].inputs
            if name in assignment.computed
            else (assignment.types[name],)
        )
    ]
    builder = GraphBuilder(tuple(types), exact=is_left)
    parameters = iter(builder.parameters)
    operands: dict[str, Value] = {}
    for name in free:
        graph = assignment.computed.get(name)
        if graph is None:
            operands[name] = next(parameters)
        else:
            (operands[name],) = builder.inline(graph, [next(parameters) for _ in graph.inputs])
    for name, literal in assignment.literals.items():
        if name in names:
            operands[name] = builder.make("constant", (literal,), ())
    if rule.uses_facts and not is_left:
        facts = facts_of_nodes(builder.nodes, rule.numerics)
        for name, operand in operands.items():
            fixed = name in frozen
            told = facts[operand.index]
            operand.facts = dataclasses.replace(told, is_frozen=True) if fixed else told
    build = _build_left if is_left else _build_right
    output = build(rule, assignment, builder, operands)
    return None if output is None else builder.finish([output])


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
