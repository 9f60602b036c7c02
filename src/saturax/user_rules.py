"""Rules of users: an equation between two plain JAX functions, checked before it is admitted.

    @saturax.rule(lambda a, b, x: (a @ b) @ x, numerics="rounding")
    def associate(a, b, x):
        '''(a·b)·x = a·(b·x)'''
        return a @ (b @ x)

Both sides are traced by JAX. What the left side looks like at drawn operand types gives patterns
without attributes; where one matches in a program, the left side is traced for the operand types
found there, and the rule applies if that is what was matched, attribute by attribute.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, overload

import numpy as np

from saturax.egraph.heads import exact_key
from saturax.egraph.pattern import PatternNode
from saturax.errors import RuleError
from saturax.graph.build import Value
from saturax.graph.ir import Graph
from saturax.graph.sampling import Draw
from saturax.graph.types import TensorType, is_complex, is_float, is_integer, mlir_dtype
from saturax.options import NUMERICS
from saturax.rules import all_rules
from saturax.rules.rule import Numerics, Rule, need
from saturax.testing.check import RuleReport, check
from saturax.testing.instances import Instance
from saturax.tracing import (
    Function,
    NotTraceableError,
    Types,
    draw_types,
    form_of,
    result_type,
    structs,
    trace,
    tree_size,
)

FAMILY = "user"
"""The family of users' rules in reports."""

LARGEST_PATTERN = 40
"""Operations that a left side may have, those used twice counted twice."""

# Operand types at which a rule is traced and checked; a trace takes some 20 ms.
_INSTANCES = 60


class UserRule:
    """A checked equation between two JAX functions; calling it calls the right side.

    `forms` are the engine's rules, one for each structure that the left side was seen to have,
    under the name that reports show: `name`, or "user." and `name` where a rule that comes with
    saturax is called so, too. `report` is the evidence for it; `key` identifies both sides across
    processes, as they were traced.
    """

    def __init__(self, pair: _Pair, forms: tuple[Rule, ...], report: RuleReport, key: str) -> None:
        self.name, self.equation, self.numerics = pair.name, pair.equation, pair.numerics
        self.left, self.right = pair.left, pair.right
        self.forms, self.report, self.key = forms, report, key

    def __call__(self, *operands: Any) -> Any:
        """The right side."""
        return self.right(*operands)

    def __repr__(self) -> str:
        return f"UserRule({self.name}, {self.numerics.name.lower()}, {self.key})"

    def __deepcopy__(self, memo: Any) -> UserRule:
        return self


Example = Sequence[Any]
Condition = Callable[..., Any]


@overload
def rule(
    left: Function,
    right: None = None,
    *,
    numerics: str | Numerics = "rounding",
    where: Condition | None = None,
    name: str | None = None,
    examples: Sequence[Example] | None = None,
    seed: int = 0,
) -> Callable[[Function], UserRule]: ...


@overload
def rule(
    left: Function,
    right: Function,
    *,
    numerics: str | Numerics = "rounding",
    where: Condition | None = None,
    name: str | None = None,
    examples: Sequence[Example] | None = None,
    seed: int = 0,
) -> UserRule: ...


def rule(
    left: Function,
    right: Function | None = None,
    *,
    numerics: str | Numerics = "rounding",
    where: Condition | None = None,
    name: str | None = None,
    examples: Sequence[Example] | None = None,
    seed: int = 0,
) -> Any:
    """Declare that two JAX functions of the same operands are equal; `left` may become `right`.

    As a decorator, without `right`, the decorated function is the right side. `numerics` says how
    equal the sides are: "bitwise", "rounding", "finite" or "approximate". `where` is asked whether
    the rule applies to operands of given shapes and element types. Else it applies wherever both
    sides return one array of one type, to operands of the kinds that it was checked for (floats,
    complex numbers, integers; Booleans alone only if it takes nothing else). `examples` are
    operands (arrays or `jax.ShapeDtypeStruct`s) to check it for, where those that are drawn (of up
    to three dimensions) do not suit.

    Raises:
        RuleError: the sides differ (the message shows for which operands), or the left side is
            none that can be looked for.

    >>> import jax.numpy as jnp
    >>> half = rule(lambda x: x / 2.0, lambda x: x * 0.5, name="halve")
    >>> half.forms[0].name, half.report.failures
    ('halve', ())
    """
    if right is None:
        return lambda function: rule(
            left,
            function,
            numerics=numerics,
            where=where,
            name=name,
            examples=examples,
            seed=seed,
        )
    names = tuple(inspect.signature(left).parameters)
    label = name or str(getattr(right, "__name__", "<lambda>"))
    if label == "<lambda>":
        raise RuleError("a rule of two lambdas needs a name: rule(left, right, name=…)")
    if not names or not _takes(right, len(names)):
        raise RuleError(f"rule {label}: both sides must take the same operands, and at least one")
    equation = (inspect.getdoc(right) or f"{label}: left = right").splitlines()[0]
    pair = _Pair(label, equation, _numerics(label, numerics), left, right, names, where)
    drawn = _operand_types(pair, examples, Draw(np.random.default_rng(seed)))
    pair.kinds = {_kinds(types) for types in drawn}
    forms = pair.forms(drawn)
    report = _checked(pair, forms, drawn, seed)
    return UserRule(pair, tuple(forms.values()), report, pair.key(drawn))


def _reported_name(name: str) -> str:
    """What reports call a user's rule: one that comes with saturax keeps its own name."""
    is_taken = any(own.name == name for own in all_rules())
    return f"{FAMILY}.{name}" if is_taken else name


def _takes(function: Function, count: int) -> bool:
    """Whether a function can be called with so many operands."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _numerics(label: str, numerics: str | Numerics) -> Numerics:
    if isinstance(numerics, Numerics):
        return numerics
    if numerics not in NUMERICS:
        expected = ", ".join(NUMERICS)
        raise RuleError(f"rule {label}: numerics: expected one of {expected}, got {numerics!r}")
    return Numerics(NUMERICS.index(numerics))


class _Pair:
    """Both sides of a rule, traced on demand."""

    def __init__(
        self,
        name: str,
        equation: str,
        numerics: Numerics,
        left: Function,
        right: Function,
        operands: tuple[str, ...],
        where: Condition | None,
    ) -> None:
        self.name, self.equation, self.numerics = name, equation, numerics
        self.reported = _reported_name(name)
        self.left, self.right, self.operands = left, right, operands
        self.where = where
        self.kinds: set[tuple[str, ...]] | None = None
        self.sides = lru_cache(maxsize=4096)(self._sides)

    def applies(self, types: Types) -> bool:
        """Whether both sides take operands of these types and return the same type."""
        return self.refusal(types) is None

    def refusal(self, types: Types) -> str | None:
        """Why the rule does not apply to operands of these types; None if it does."""
        if self.kinds is not None and _kinds(types) not in self.kinds:
            return "it was not checked for these kinds of element types"
        if self.where is not None and not self.where(*structs(types)):
            return "`where` says that it does not"
        try:
            left, right = result_type(self.left, types), result_type(self.right, types)
        except NotTraceableError as error:
            return str(error)
        if left != right:
            return f"the left side is {left}, the right side {right}"
        return None

    def _sides(self, types: Types) -> tuple[Graph, Graph] | None:
        """Both sides' graphs for operands of these types; None where the rule does not apply."""
        if not self.applies(types):
            return None
        try:
            return trace(self.left, types), trace(self.right, types)
        except NotTraceableError:
            return None

    def key(self, drawn: Sequence[Types]) -> str:
        """A digest of both sides as they were traced at the drawn types."""
        texts = [str(side) for types in drawn for side in self.sides(types) or ()]
        return hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()

    def forms(self, drawn: Sequence[Types]) -> dict[PatternNode, Rule]:
        """An engine's rule for each structure of the left side at the drawn types."""
        found: dict[PatternNode, Rule] = {}
        reason = ""
        for types in drawn:
            sides = self.sides(types)
            if sides is None:
                continue
            reason = reason or self._unsuitable(sides[0])
            if self._unsuitable(sides[0]):
                continue
            pattern = form_of(sides[0], self.operands).pattern
            if pattern not in found:
                found[pattern] = self._rule(pattern, len(found) + 1)
        if not found:
            raise RuleError(f"rule {self.name}: its left side {reason}")
        return found

    def _unsuitable(self, graph: Graph) -> str:
        """Why a left side cannot be looked for in a program; empty if it can."""
        if graph.nodes[graph.outputs[0]].op in ("parameter", "constant"):
            return "is no operation, so it would match everything; expected one at least"
        size = tree_size(graph)
        if size > LARGEST_PATTERN:
            return (
                f"has {size} operations, those used twice counted twice; expected "
                f"{LARGEST_PATTERN} at most. State the equation about a part of it"
            )
        unused = set(self.operands) - set(form_of(graph, self.operands).pattern.variables)
        if unused:
            return f"does not use {', '.join(sorted(unused))}, so nothing would be known of it"
        return ""

    def _rule(self, pattern: PatternNode, number: int) -> Rule:
        def right(**bound: Any) -> Value:
            operands: list[Value] = [bound[name] for name in self.operands]
            sides = self.sides(tuple(operand.tensor for operand in operands))
            need(sides is not None)
            assert sides is not None
            form = form_of(sides[0], self.operands)
            need(form.pattern == pattern)
            need(all(exact_key(bound[k]) == exact_key(v) for k, v in form.attributes.items()))
            return operands[0].builder.inline(sides[1], operands)[0]

        return Rule(
            self.reported if number == 1 else f"{self.reported} ({number})",
            pattern,
            right,
            (*pattern.attribute_variables, *self.operands),
            self.numerics,
            "user",
            self.equation,
            FAMILY,
            asks_facts=False,
            structured=(),
            # Growth is bounded by the limits of a search; a user's rule may be undirected.
            expansive=True,
        )


def _kinds(types: Types) -> tuple[str, ...]:
    """What kinds of numbers operands are made of."""
    return tuple(_kind(type.dtype) for type in types)


def _kind(dtype: str) -> str:
    if is_float(dtype):
        return "float"
    return "complex" if is_complex(dtype) else "integer" if is_integer(dtype) else dtype


# ------------------------------------------------------------------ admission


def _operand_types(pair: _Pair, examples: Sequence[Example] | None, draw: Draw) -> list[Types]:
    """Operand types at which the rule applies, given or drawn."""
    if examples is None:
        found = draw_types(pair.applies, len(pair.operands), draw)[:_INSTANCES]
        if found:
            return found
        given = [tuple(TensorType((3, 3), "f32") for _ in pair.operands)]
    else:
        given = [tuple(map(_type_of, example)) for example in examples]
    for types in given:
        reason = pair.refusal(types)
        if reason is not None:
            shown = ", ".join(map(str, types))
            hint = "" if examples is not None else " Nor does it to others that were drawn."
            raise RuleError(
                f"rule {pair.name}: it does not apply to operands ({shown}): {reason}.{hint} Give "
                "it `examples` of operands at which both sides return one array of one type."
            )
    return given


def _type_of(operand: Any) -> TensorType:
    dtype = np.dtype(getattr(operand, "dtype", np.asarray(operand).dtype))
    return TensorType(tuple(np.shape(operand)), mlir_dtype(dtype))


def _checked(
    pair: _Pair, forms: Mapping[PatternNode, Rule], drawn: Sequence[Types], seed: int
) -> RuleReport:
    first = next(iter(forms.values()))
    report = check(first, seed=seed, given=_instances(pair, forms, drawn))
    report.raise_if_failed()
    return report


def _instances(
    pair: _Pair, forms: Mapping[PatternNode, Rule], drawn: Sequence[Types]
) -> Iterator[Instance]:
    """Instances at the drawn types; each several times if they are few."""
    repeats = -(-_INSTANCES // (2 * len(drawn)))
    for number, types in enumerate([*drawn] * repeats, 1):
        sides = pair.sides(types)
        form = None if sides is None else forms.get(form_of(sides[0], pair.operands).pattern)
        if sides is None or form is None:
            continue
        bindings = dict(zip(pair.operands, types, strict=True))
        yield Instance(form, *sides, bindings, number, is_reproducible=True)
