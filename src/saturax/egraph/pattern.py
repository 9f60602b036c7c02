"""Patterns: the left sides of rules, as plain data.

A pattern is a tree of operations whose leaves are operand variables. A variable that occurs twice
must be bound to the same e-class (operands) or to the same value (attributes).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from saturax.egraph.heads import exact_key


@dataclass(frozen=True, slots=True)
class PatternVar:
    """Stands for any operand; binds an e-class.

    It must not be what `no_result_of` makes of another class, if that names an operation.
    """

    name: str
    no_result_of: str | None = None


@dataclass(frozen=True, slots=True)
class PatternAttribute:
    """Stands for any attribute, or any that looks like `form` and `admits` says yes to; binds it.

    A form is a tuple of values, further tuples, and `PatternAttribute`s for parts of any value.
    """

    name: str
    form: tuple[Any, ...] | None = None
    admits: Callable[[Any], bool] | None = field(default=None, repr=False)

    @property
    def is_free(self) -> bool:
        """Whether any value fits."""
        return self.form is None and self.admits is None

    def fits(self, value: Any) -> bool:
        """Return whether the attribute may have a value."""
        looks_like = self.form is None or _looks_like(self.form, value)
        return looks_like and (self.admits is None or self.admits(value))


def _looks_like(form: Any, value: Any) -> bool:
    if isinstance(form, PatternAttribute):
        return form.fits(value)
    if isinstance(form, tuple):
        same_length = isinstance(value, tuple) and len(value) == len(form)
        return same_length and all(map(_looks_like, form, value))
    return bool(form == value)


@dataclass(frozen=True, slots=True)
class PatternNode:
    """An operation with attributes (literals or `PatternAttribute`) and operands."""

    op: str
    attributes: tuple[Any, ...] = ()
    operands: tuple["PatternVar | PatternNode", ...] = ()

    @property
    def depth(self) -> int:
        """Number of operations on the longest path to a leaf; 1 for a single operation."""
        return 1 + max((o.depth for o in self.operands if isinstance(o, PatternNode)), default=0)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the operand variables in order of first occurrence."""
        names = (o.name for _, n in self.walk() for o in n.operands if isinstance(o, PatternVar))
        return tuple(dict.fromkeys(names))

    @property
    def attribute_variables(self) -> tuple[str, ...]:
        """Names of the attribute variables in order of first occurrence."""
        names = (
            a.name
            for _, node in self.walk()
            for a in node.attributes
            if isinstance(a, PatternAttribute)
        )
        return tuple(dict.fromkeys(names))

    def walk(self, level: int = 0) -> Iterator[tuple[int, "PatternNode"]]:
        """Yield `(level, node)` for all operations, parents first; the root has level 0."""
        yield level, self
        for operand in self.operands:
            if isinstance(operand, PatternNode):
                yield from operand.walk(level + 1)


def left_key(pattern: PatternNode) -> Any:
    """Equal for patterns that differ in the names of their variables only."""
    numbers: dict[tuple[str, bool], int] = {}

    def attribute_key(attribute: Any) -> Any:
        if not isinstance(attribute, PatternAttribute):
            return exact_key(attribute)
        number = numbers.setdefault((attribute.name, True), len(numbers))
        return (number, _form_key(attribute.form), attribute.admits)

    def key(operand: "PatternVar | PatternNode") -> Any:
        if isinstance(operand, PatternVar):
            return (numbers.setdefault((operand.name, False), len(numbers)), operand.no_result_of)
        return (
            operand.op,
            tuple(map(attribute_key, operand.attributes)),
            tuple(map(key, operand.operands)),
        )

    return key(pattern)


def _form_key(form: Any) -> Any:
    """A form without the names of its parts, which nothing tells apart but their places."""
    if isinstance(form, PatternAttribute):
        return (_form_key(form.form), form.admits)
    return tuple(map(_form_key, form)) if isinstance(form, tuple) else exact_key(form)


def pattern(op: str, *operands: "str | PatternVar | PatternNode", at: Any = ()) -> PatternNode:
    """Build a pattern tersely; a string operand is a variable, `at` holds the attributes.

    >>> pattern("binary", "x", pattern("constant", at=(0,)), at=("add",)).variables
    ('x',)
    """
    attributes = at if isinstance(at, tuple) else (at,)
    return PatternNode(
        op, attributes, tuple(PatternVar(o) if isinstance(o, str) else o for o in operands)
    )
