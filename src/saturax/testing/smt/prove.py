"""Proving rules: concrete instances are generalised to all sizes, and each case is shown by z3."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import z3

from saturax.egraph.pattern import PatternAttribute, PatternNode, PatternVar
from saturax.errors import RuleError, TypeInferenceError
from saturax.graph.build import GraphBuilder, Value, building
from saturax.graph.ir import Graph
from saturax.graph.literal import Literal
from saturax.graph.types import TensorType
from saturax.rules.rule import Rule
from saturax.testing.instances import Instance, instances
from saturax.testing.smt.paths import (
    Z3,
    NotSymbolicError,
    Path,
    Symbol,
    TooLargeError,
    explore,
    term,
)
from saturax.testing.smt.tensors import SYMBOLIC, evaluate

DTYPES = ("i1", "i8", "ui8", "i32", "f16")
"""Element types for which elementwise rules are proved; f16 stands for floats."""

MOVED = ("f32", "i32", "i1")
"""Element types for which other rules are proved: moving elements does not look at them. Those of
f32 are opaque, so what is proved of them holds for every type.
"""

_LEAST_MS, _LARGEST_RANK = 200, 3
_FEW = 8
_ELEMENTWISE = ("unary", "binary", "ternary", "constant")
# Attributes whose numbers become symbols, by operation and position.
_SYMBOLIC = {
    ("slice", 0),
    ("slice", 1),
    ("pad", 0),
    ("pad", 1),
    ("reshape", 0),
    ("broadcast_in_dim", 0),
    ("dynamic_slice", 0),
    ("iota", 1),
}


@dataclass(frozen=True)
class Proof:
    """What z3 says of a rule.

    `proved` gives for each element type the largest rank up to which every case of every drawn
    instance was shown for all sizes; `open` gives for others why not. `cases` counts those shown.
    `has_constants` tells that constants of the rule were drawn: it is proved for those only.
    """

    rule: str
    proved: Mapping[str, int]
    open: Mapping[str, str]
    cases: int
    has_constants: bool

    @property
    def is_complete(self) -> bool:
        """Whether it was proved for all element types for which there were instances."""
        return bool(self.proved) and not self.open

    def __str__(self) -> str:
        if not self.proved:
            return "not proved"
        ranks = set(self.proved.values()) - {0}
        limit = f", rank ≤ {min(ranks)}" if ranks else ""
        return f"{' '.join(self.proved)}{limit}{', drawn constants' if self.has_constants else ''}"


def prove(rule: Rule, count: int = 150, seed: int = 0, time_limit_s: float = 10.0) -> Proof:
    """Try to prove a rule for all sizes and values, at the dimension numbers of drawn instances.

    For each element type, `count` instances are drawn, and those of up to rank 3 taken; those that
    differ in sizes only are one. Sizes, bounds and paddings become symbols; strides, permutations
    and functions stay. Elementwise rules are proved at rank 0: all elements are alike.
    """
    elementwise = all(node.op in _ELEMENTWISE for _, node in rule.pattern.walk())
    proved: dict[str, int] = {}
    open_: dict[str, str] = {}
    effort = _Effort(0)
    unknown = {node.op for _, node in rule.pattern.walk()} - SYMBOLIC
    if unknown:
        reason = f"{min(unknown)} has no symbolic meaning"
        return Proof(rule.name, {}, dict.fromkeys(MOVED, reason), 0, has_constants=False)
    for dtype in DTYPES if elementwise else MOVED:
        rng = np.random.default_rng([seed, *rule.name.encode()])
        # Without attributes, elementwise instances are all alike.
        needed = count if rule.pattern.attribute_variables or rule.uses_facts else _FEW
        drawn = _suited(rule, needed, rng, dtype, elementwise)
        share = 1 / len(DTYPES) if elementwise else 0.6 if dtype == "f32" else 0.2
        effort.deadline = time.monotonic() + share * time_limit_s
        for rank in sorted(drawn):
            try:
                _prove_all(drawn[rank], effort, elementwise)
            except (NotSymbolicError, z3.Z3Exception) as error:
                # What is too large for one rank stays proved for those below.
                if not isinstance(error, TooLargeError) or proved.get(dtype, 0) == 0:
                    proved.pop(dtype, None)
                    open_[dtype] = str(error)
                break
            proved[dtype] = rank
    return Proof(rule.name, proved, open_, effort.cases, effort.has_constants)


@dataclass
class _Effort:
    """What a proof has cost so far, and until when it may go on."""

    deadline: float
    cases: int = 0
    has_constants: bool = False


def _prove_all(drawn: Sequence[Instance], effort: _Effort, elementwise: bool) -> None:
    """Prove the generalised instances. Raises `NotSymbolicError` at the first that is not."""
    seen: set[Any] = set()
    for instance in drawn:
        general = _General(instance, elementwise)
        effort.has_constants |= general.has_constants
        if general.key not in seen:
            seen.add(general.key)
            effort.cases += general.prove(effort.deadline)


def _suited(
    rule: Rule, count: int, rng: np.random.Generator, dtype: str, elementwise: bool
) -> dict[int, list[Instance]]:
    """Instances with elements of `dtype`, by the largest rank in them; elementwise ones by 0."""
    found: dict[int, list[Instance]] = {}
    # Most rules that take the type at all apply within these few draws.
    if next(instances(rule, 2, rng, (dtype,)), None) is None:
        return found
    for instance in instances(rule, count, rng, (dtype,)):
        nodes = (*instance.left.nodes, *instance.right.nodes)
        types = [node.type for node in nodes if isinstance(node.type, TensorType)]
        rank = 0 if elementwise else max(type.rank for type in types)
        if rank > _LARGEST_RANK or dtype not in {type.dtype for type in types}:
            continue
        if _is_general(instance):
            found.setdefault(rank, []).append(instance)
    return found


def _is_general(instance: Instance) -> bool:
    """Whether an instance can be generalised: its constants are splats, its operands free."""
    given = [*instance.attributes.values(), *instance.operands.values()]
    is_special = any(
        isinstance(value, Graph) or (isinstance(value, Literal) and not value.is_splat)
        for value in given
    )
    return instance.is_reproducible and not is_special


class _General:
    """An instance with symbols for its numbers."""

    def __init__(self, instance: Instance, elementwise: bool) -> None:
        self.elementwise = elementwise
        self.rule = instance.rule
        self.numbers: dict[str, tuple[Z3, int]] = {}
        self.assumptions: list[Z3] = []
        places = {
            attribute.name: (node.op, position)
            for _, node in self.rule.pattern.walk()
            for position, attribute in enumerate(node.attributes)
            if isinstance(attribute, PatternAttribute)
        }
        self.attributes = {
            name: self._generalised(name, value, places[name] in _SYMBOLIC)
            for name, value in instance.attributes.items()
        }
        self.operands = {
            name: self._generalised(name, operand, True)
            for name, operand in instance.operands.items()
        }
        given = [*instance.attributes.values(), *instance.operands.values()]
        self.has_constants = any(isinstance(value, Literal) for value in given)
        # The symbols' names and all that is not a symbol: equal for instances that differ in
        # numbers only.
        self.key = (repr(self.attributes), repr(self.operands))

    def _generalised(self, name: str, value: Any, is_symbolic: bool) -> Any:
        if self.elementwise and isinstance(value, TensorType):
            return value.with_shape(())
        if self.elementwise and isinstance(value, Literal):
            return Literal(value.data, ())
        if isinstance(value, TensorType) and is_symbolic:
            return value.with_shape(self._symbols(name, value.shape, least=0))
        if isinstance(value, Literal):
            return Literal(value.data, self._symbols(name, value.type.shape, least=0))
        if is_symbolic and isinstance(value, tuple):
            return self._symbols(name, value)
        return value

    def _symbols(self, name: str, numbers: Sequence[int], least: int | None = None) -> Any:
        symbols = []
        for i, number in enumerate(numbers):
            variable = z3.Int(f"{name}[{i}]")
            self.numbers[f"{name}[{i}]"] = variable, int(number)
            if least is not None:
                self.assumptions.append(variable >= least)
            symbols.append(Symbol(variable))
        return tuple(symbols)

    def prove(self, deadline: float) -> int:
        """Prove every case; return their number.

        Raises `NotSymbolicError` where one is not proved, or the instance itself is in none.
        """
        applied = 0
        is_covered = False
        for path, sides in explore(self._sides, self.assumptions):
            if time.monotonic() > deadline:
                raise TooLargeError("out of time")
            if sides is None:
                continue
            applied += 1
            Path.current = path
            try:
                _prove_equal(path, sides[0], sides[1], deadline)
            finally:
                Path.current = None
            is_covered = is_covered or self._covers(path)
        if not is_covered:
            raise NotSymbolicError("the instance is in none of the cases")
        return applied

    def _covers(self, path: Path) -> bool:
        """Whether the numbers of the instance are a case of the path."""
        numbers = [(variable, z3.IntVal(value)) for variable, value in self.numbers.values()]
        condition = z3.simplify(z3.substitute(z3.And(*path.conditions), *numbers))
        return bool(z3.is_true(condition))

    def _sides(self, path: Path) -> tuple[Graph, Graph] | None:
        """Both sides on this path; None where the left side is ill-typed or the rule not meant."""
        left = self._builder(exact=True)
        try:
            output = self._build(left, self.rule.pattern)
        except TypeInferenceError:
            return None
        right = self._builder(exact=False)
        try:
            with building(right[0]):
                result = self.rule.apply(self.attributes, right[1])
        except RuleError as error:
            if isinstance(error.__cause__, TypeInferenceError):
                raise NotSymbolicError(
                    f"a case in which the right side is ill-typed: {error}"
                ) from error
            raise NotSymbolicError(f"the right side asks for numbers: {error}") from error
        if result is None:
            return None
        return left[0].finish([output]), right[0].finish([result])

    def _builder(self, *, exact: bool) -> tuple[GraphBuilder, dict[str, Value]]:
        free = {n: t for n, t in self.operands.items() if not isinstance(t, Literal)}
        builder = GraphBuilder(tuple(free.values()), exact=exact)
        operands = dict(zip(free, builder.parameters, strict=True))
        for name, literal in self.operands.items():
            if isinstance(literal, Literal):
                operands[name] = builder.make("constant", (literal,), ())
        return builder, operands

    def _build(
        self, side: tuple[GraphBuilder, dict[str, Value]], node: PatternNode | PatternVar
    ) -> Value:
        builder, operands = side
        if isinstance(node, PatternVar):
            return operands[node.name]
        attributes = tuple(
            self.attributes[a.name] if isinstance(a, PatternAttribute) else a
            for a in node.attributes
        )
        return builder.make(node.op, attributes, tuple(self._build(side, o) for o in node.operands))


def _prove_equal(path: Path, left: Graph, right: Graph, deadline: float) -> None:
    """Show that both sides have one type, and equal elements at every index in bounds."""
    first, second = evaluate(left), evaluate(right)
    if first.type.dtype != second.type.dtype or first.type.rank != second.type.rank:
        raise NotSymbolicError(f"the sides have types {first.type} and {second.type}")
    shapes = zip(first.shape, second.shape, strict=True)
    if not path.entails(z3.And(*[term(n) == term(m) for n, m in shapes], True)):
        raise NotSymbolicError(f"the sides may have types {first.type} and {second.type}")
    index = tuple(z3.Int(f"i{d}") for d in range(first.type.rank))
    bounds = [z3.And(i >= 0, i < term(n)) for i, n in zip(index, first.shape, strict=True)]
    a, b = first.at(index), second.at(index)
    if z3.eq(z3.simplify(a), z3.simplify(b)):
        return
    solver = z3.Solver()
    left_ms = int(1000 * (deadline - time.monotonic()))
    solver.set("timeout", max(_LEAST_MS, left_ms))
    solver.add(*path.conditions, *bounds, a != b)
    found = solver.check()
    if found == z3.unknown:
        raise TooLargeError(f"z3 says {found}: {solver.reason_unknown()}")
    if found == z3.sat:
        raise NotSymbolicError(f"z3 says {found}: {solver.model()}"[:500])
