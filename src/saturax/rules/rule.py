"""The form of a rewrite rule: a pattern, and an ordinary Python function for the right side.

    @rule(lambda x, p, q: transpose(transpose(x, p), q), numerics=BITWISE, source="…")
    def merge_transposes(x, p, q):
        '''(xᵖ)ᑫ = x^(p∘q)'''
        return transpose(x, compose(p, q))

The pattern is built by calling the left side with placeholders; a placeholder's place in an
operation decides whether it stands for an operand or for an attribute. The right side is called
with typed operand handles and attribute values, and returns None (or calls `need`) where the rule
does not apply.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar
from saturax.egraph.recipe import Recipe, RecipeStep, Told
from saturax.errors import RuleError, TypeInferenceError
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.literal import Literal
from saturax.graph.types import Type
from saturax.numerics import APPROXIMATE as APPROXIMATE
from saturax.numerics import BITWISE as BITWISE
from saturax.numerics import FINITE as FINITE
from saturax.numerics import ROUNDING as ROUNDING
from saturax.numerics import Numerics as Numerics
from saturax.rules.facts import is_assumed_finite
from saturax.rules.probing import admission


class _DoesNotApply(Exception):  # noqa: N818 (no error)
    """Raised by `need`: the side condition of a rule does not hold."""


def need(condition: Any) -> None:
    """Go on only if `condition` holds; otherwise the rule does not apply here."""
    if not condition:
        raise _DoesNotApply


@dataclass(frozen=True)
class Placeholder:
    """Stands for an operand or an attribute while a pattern is built."""

    name: str


Examples = Callable[[np.random.Generator], Mapping[str, Any]]


@dataclass(frozen=True)
class Rule:
    """A directed equation between programs; see the module's text for the fields' meaning.

    `structured` maps a generated attribute variable to the tuple of literals and placeholders that
    its value must match. `family` is the module that the rule lives in. With `asks_facts`, the
    right side asks what is known of its operands. An `expansive` rule may grow the e-graph without
    bound when it runs alone. A rule that `only_merges` adds nothing: where both sides are there, it
    tells that they are equal. Constants named in `special` may be NaN or infinite, whatever
    the class. `examples(rng)` draws attribute values and operand types (or constant operands, as
    `Literal`, or computed ones, as a `Graph` with one output), by name, for tests of a rule whose
    left side is hard to meet at random.

    `rule` takes two things that become part of the pattern: `whole`, operands that must not be
    slices themselves, and `decided_by`, attributes of which the right side refuses many values
    before it looks at anything else. The functions of elementwise operations are always taken so.
    """

    name: str
    pattern: PatternNode
    right: Callable[..., Value | None]
    parameters: tuple[str, ...]
    numerics: Numerics
    source: str
    equation: str
    family: str
    asks_facts: bool
    structured: tuple[tuple[str, tuple[Any, ...]], ...]
    expansive: bool = False
    examples: Examples | None = None
    only_merges: bool = False
    special: frozenset[str] = frozenset()

    @property
    def uses_facts(self) -> bool:
        """Whether the right side depends on what is known: it asks, or it needs numbers."""
        return self.asks_facts or self.needs_numbers

    @property
    def needs_numbers(self) -> bool:
        """Whether the equation holds of finite operands only."""
        return self.numerics >= FINITE

    def _holds_of(self, arguments: Mapping[str, Any]) -> bool:
        """Whether the equation speaks of such arguments: BITWISE ones of all, others of reals."""
        if self.numerics == BITWISE:
            return True
        is_fit = _is_number if self.needs_numbers else _may_be_number
        for name, argument in arguments.items():
            if not is_fit(argument) and name not in self.special:
                return False
        return True

    def apply(
        self,
        attributes: Mapping[str, Any],
        operands: Mapping[str, Value],
    ) -> Value | None:
        """The right side for these attributes and operand handles, or None if it does not apply.

        Operations are added to the current builder. Raises `RuleError` if the right side fails.
        """
        bound = dict(attributes)
        for name, shape in self.structured:
            if not _bind(shape, bound.pop(name), bound):
                return None
        arguments = {**bound, **operands}
        if not self._holds_of(arguments):
            return None
        try:
            return self.right(**{name: arguments[name] for name in self.parameters})
        except (_DoesNotApply, TypeInferenceError) as reason:
            if isinstance(reason, TypeInferenceError):
                raise RuleError(
                    f"rule {self.name}: its right side is ill-typed for {_describe(arguments)}: "
                    f"{reason}. Add the missing side condition with `need`."
                ) from reason
            return None
        except Exception as error:
            raise RuleError(
                f"rule {self.name}: its right side raised {error!r} for {_describe(arguments)}"
            ) from error

    def recipe(
        self,
        attributes: Mapping[str, Any],
        operand_types: Mapping[str, Type],
        root_type: Type,
        facts: Mapping[str, Any] | None = None,
    ) -> Recipe | None:
        """What the engine adds for a match: the right side as steps over the operands."""
        builder = GraphBuilder(tuple(operand_types.values()))
        names = list(operand_types)
        operands = dict(zip(names, builder.parameters, strict=True))
        if facts is not None:
            builder.facts.update(enumerate(map(facts.__getitem__, names)))
        with building(builder):
            result = self.apply(attributes, operands)
        if isinstance(facts, Told):
            facts.is_outline_enough = not builder.asks_all
        if result is None:
            return None
        if result.type != root_type:
            raise RuleError(
                f"rule {self.name}: its left side has type {root_type}, its right side "
                f"{result.type}, for {_describe({**attributes, **operands})}"
            )
        offset = len(names)

        needed = _needed(builder, result.index, offset)
        position = {old: new for new, old in enumerate(needed)}

        def renumbered(index: int) -> str | int:
            return names[index] if index < offset else position[index]

        steps = tuple(
            RecipeStep(
                node.op, node.attributes, tuple(renumbered(i) for i in node.operands), node.type
            )
            for node in (builder.nodes[old] for old in needed)
        )
        return Recipe(steps, renumbered(result.index))


def _needed(builder: GraphBuilder, root: int, offset: int) -> list[int]:
    """Indices of the nodes after the parameters that `root` depends on, in order."""
    needed = {root}
    for index in range(len(builder.nodes) - 1, offset - 1, -1):
        if index in needed:
            needed.update(builder.nodes[index].operands)
    return sorted(index for index in needed if index >= offset)


_ELEMENTWISE = frozenset({"unary", "binary", "ternary"})


class _PatternBuilder:
    """Turns operation constructors, called with placeholders, into a pattern."""

    def __init__(
        self,
        right: Callable[..., Value | None],
        parameters: tuple[str, ...],
        whole: frozenset[str],
        decided_by: frozenset[str],
    ) -> None:
        self.structured: list[tuple[str, tuple[Any, ...]]] = []
        self._right = right
        self._parameters = parameters
        self._whole = whole
        self._decided_by = decided_by
        self._probed: dict[str, PatternAttribute] = {}

    def make(self, op: str, attributes: tuple[Any, ...], operands: tuple[Any, ...]) -> PatternNode:
        """A pattern node."""
        made = self._function if op in _ELEMENTWISE else self._attribute
        return PatternNode(
            op,
            tuple(made(attribute) for attribute in attributes),
            tuple(self._operand(x) if isinstance(x, Placeholder) else x for x in operands),
        )

    def _operand(self, placeholder: Placeholder) -> PatternVar:
        name = placeholder.name
        return PatternVar(name, "slice" if name in self._whole else None)

    def _function(self, attribute: Any) -> Any:
        """The attribute of an elementwise operation: of variables, those that the rule is about."""
        if not isinstance(attribute, Placeholder):
            return self._attribute(attribute)
        return self._probing(attribute.name)

    def _probing(self, name: str, *, asks_all: bool = False) -> PatternAttribute:
        """An attribute without the values that the right side refuses, whatever the rest is."""
        if name not in self._probed:
            admits = admission(self._may_apply, self._parameters, name, asks_all=asks_all)
            self._probed[name] = PatternAttribute(name, admits=admits)
        return self._probed[name]

    def _may_apply(self, **arguments: Any) -> bool:
        try:
            return self._right(**arguments) is not None
        except _DoesNotApply:
            return False

    def _attribute(self, attribute: Any) -> Any:
        if isinstance(attribute, Placeholder):
            if attribute.name in self._decided_by:
                return self._probing(attribute.name, asks_all=True)
            return PatternAttribute(attribute.name)
        if _has_placeholder(attribute):
            name = f"_{len(self.structured)}"
            self.structured.append((name, attribute))
            return PatternAttribute(name, _form(attribute))
        return attribute


def _has_placeholder(attribute: Any) -> bool:
    if isinstance(attribute, tuple):
        return any(map(_has_placeholder, attribute))
    return isinstance(attribute, Placeholder)


def _form(attribute: Any) -> Any:
    """A structured attribute, as the matcher takes it."""
    if isinstance(attribute, Placeholder):
        return PatternAttribute(attribute.name)
    return tuple(map(_form, attribute)) if isinstance(attribute, tuple) else attribute


def _bind(shape: Any, value: Any, bound: dict[str, Any]) -> bool:
    """Match `value` against literals and placeholders, adding what placeholders stand for."""
    if isinstance(shape, Placeholder):
        return bool(bound.setdefault(shape.name, value) == value)
    if isinstance(shape, tuple):
        fits = isinstance(value, tuple) and len(value) == len(shape)
        return fits and all(_bind(s, v, bound) for s, v in zip(shape, value, strict=True))
    return bool(shape == value)


def _may_be_number(argument: Any) -> bool:
    """Whether an operand or attribute is no constant with a NaN or an infinity, as far as known."""
    if isinstance(argument, Value):
        told = argument.builder.facts.get(argument.index)
        argument = None if told is None else told.constant
    return not isinstance(argument, Literal) or argument.is_finite


def _is_number(argument: Any) -> bool:
    """Whether an operand or attribute may be taken to be finite."""
    if isinstance(argument, Value):
        return is_assumed_finite(argument)
    return _may_be_number(argument)


def _describe(arguments: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} = {value.type if isinstance(value, Value) else value}"
        for name, value in arguments.items()
    )


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's parameters.

    Read off its code: `inspect.signature` took half of the time that importing all rules takes.
    """
    if hasattr(function, "__signature__") or not inspect.isfunction(function):
        return tuple(inspect.signature(function).parameters)
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def rule(
    left: Callable[..., Any],
    *,
    numerics: Numerics,
    source: str,
    uses_facts: bool = False,
    expansive: bool = False,
    examples: Examples | None = None,
    only_merges: bool = False,
    special: Iterable[str] = (),
    whole: Iterable[str] = (),
    decided_by: Iterable[str] = (),
) -> Callable[[Callable[..., Value | None]], Rule]:
    """Declare a rewrite rule; its docstring is the equation with its condition.

    `source` says where the equation comes from. With `uses_facts`, the right side may ask what is
    known about its operands (`saturax.rules.facts`). See `Rule` for the rest.
    """

    def decorate(right: Callable[..., Value | None]) -> Rule:
        equation = inspect.getdoc(right)
        if not equation:
            raise RuleError(f"rule {right.__name__}: its docstring must state the equation")
        names = _parameters(left)
        if names != _parameters(right):
            raise RuleError(f"rule {right.__name__}: both sides must have the same parameters")
        builder = _PatternBuilder(right, names, frozenset(whole), frozenset(decided_by))
        with building(builder):
            pattern = left(*map(Placeholder, names))
        return Rule(
            right.__name__,
            pattern,
            right,
            names,
            numerics,
            source,
            equation.splitlines()[0],
            right.__module__.rpartition(".")[2],
            uses_facts,
            tuple(builder.structured),
            expansive,
            examples,
            only_merges,
            frozenset(special),
        )

    return decorate
