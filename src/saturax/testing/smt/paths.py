"""Symbolic integers, and all the ways that a Python function can take on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import z3

from saturax.errors import SaturaxError

Z3 = Any
"""Expressions of z3, which has no types."""

_MOST_PATHS = 400
_TIMEOUT_MS = 2000


class NotSymbolicError(SaturaxError):
    """Something that has no symbolic meaning, or is not proved."""


class TooLargeError(NotSymbolicError):
    """A proof that takes too long."""


class _Decision:
    """Which way was taken at a condition, and whether the other way remains."""

    __slots__ = ("is_open", "taken")

    def __init__(self, taken: bool, is_open: bool) -> None:
        self.taken = taken
        self.is_open = is_open


class Path:
    """One run of a function: what was decided before, and the conditions that hold."""

    current: Path | None = None

    def __init__(self, trail: list[_Decision], assumptions: list[Z3]) -> None:
        self.trail = trail
        self.position = 0
        self.conditions: list[Z3] = list(assumptions)
        self.solver = z3.Solver()
        self.solver.set("timeout", _TIMEOUT_MS)
        self.solver.add(*assumptions)

    def decide(self, condition: Z3) -> bool:
        """Whether a condition holds on this path; both ways are taken if both are possible."""
        condition = z3.simplify(condition)
        if z3.is_true(condition) or z3.is_false(condition):
            return bool(z3.is_true(condition))
        if self.position == len(self.trail):
            may_hold = self.solver.check(condition) != z3.unsat
            may_fail = self.solver.check(z3.Not(condition)) != z3.unsat
            self.trail.append(_Decision(may_hold, may_hold and may_fail))
        taken = self.trail[self.position].taken
        self.position += 1
        self.assume(condition if taken else z3.Not(condition))
        return taken

    def assume(self, condition: Z3) -> None:
        """Add a condition that holds on this path."""
        self.conditions.append(condition)
        self.solver.add(condition)

    def entails(self, condition: Z3) -> bool:
        """Whether a condition follows; False if z3 does not know."""
        return bool(self.solver.check(z3.Not(condition)) == z3.unsat)


def explore(run: Callable[[Path], Any], assumptions: list[Z3]) -> Iterator[tuple[Path, Any]]:
    """Every path of `run`, with what it returned.

    Raises `TooLargeError` if there are too many.
    """
    trail: list[_Decision] = []
    for _ in range(_MOST_PATHS):
        path = Path(trail, assumptions)
        Path.current = path
        try:
            result = run(path)
        finally:
            Path.current = None
        yield path, result
        while trail and not trail[-1].is_open:
            trail.pop()
        if not trail:
            return
        trail[-1].taken, trail[-1].is_open = not trail[-1].taken, False
    raise TooLargeError(f"more than {_MOST_PATHS} cases")


def _decide(condition: Z3) -> bool:
    assert Path.current is not None, "symbolic integers are compared only while exploring"
    return Path.current.decide(condition)


class Truth:
    """A condition on symbolic integers; Python's question for its truth is a decision."""

    __slots__ = ("condition",)

    def __init__(self, condition: Z3) -> None:
        self.condition = condition

    def __bool__(self) -> bool:
        return _decide(self.condition)

    def __index__(self) -> int:
        return int(bool(self))

    def __add__(self, other: Any) -> Any:
        return int(bool(self)) + other

    __radd__ = __add__


class Symbol:
    """An integer that is not known; arithmetic with Python's integers gives more of them."""

    __slots__ = ("term",)

    def __init__(self, term: Z3) -> None:
        self.term = term

    def __add__(self, other: Any) -> Any:
        return wrap(self.term + term(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return wrap(self.term - term(other))

    def __rsub__(self, other: Any) -> Any:
        return wrap(term(other) - self.term)

    def __mul__(self, other: Any) -> Any:
        return wrap(self.term * term(other))

    __rmul__ = __mul__

    def __neg__(self) -> Any:
        return wrap(-self.term)

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __floordiv__(self, other: Any) -> Any:
        return wrap(self.term / _positive(other))

    def __rfloordiv__(self, other: Any) -> Any:
        return wrap(term(other) / _positive(self))

    def __mod__(self, other: Any) -> Any:
        return wrap(self.term % _positive(other))

    def __rmod__(self, other: Any) -> Any:
        return wrap(term(other) % _positive(self))

    def __lt__(self, other: Any) -> Truth:
        return Truth(self.term < term(other))

    def __le__(self, other: Any) -> Truth:
        return Truth(self.term <= term(other))

    def __gt__(self, other: Any) -> Truth:
        return Truth(self.term > term(other))

    def __ge__(self, other: Any) -> Truth:
        return Truth(self.term >= term(other))

    def __eq__(self, other: object) -> Any:
        return Truth(self.term == term(other)) if isinstance(other, int | Symbol) else False

    def __ne__(self, other: object) -> Any:
        return Truth(self.term != term(other)) if isinstance(other, int | Symbol) else True

    def __bool__(self) -> bool:
        return _decide(self.term != 0)

    def __hash__(self) -> int:
        # Equality is decided path by path, so all of them must meet in one bucket.
        return 0

    def __index__(self) -> int:
        raise NotSymbolicError("a size that is not known was used as a Python number")

    def __repr__(self) -> str:
        return str(self.term)


def term(x: Any) -> Z3:
    """An integer or symbol as a term of z3."""
    return x.term if isinstance(x, Symbol) else z3.IntVal(int(x))


def wrap(expression: Z3) -> Any:
    """A term as a symbol, or as a Python integer where it is one."""
    simple = z3.simplify(expression)
    return simple.as_long() if z3.is_int_value(simple) else Symbol(simple)


def _positive(divisor: Any) -> Z3:
    """A divisor; z3 and Python agree on division by positive numbers only."""
    if not divisor > 0:
        raise NotSymbolicError("division by a number that may be negative")
    return term(divisor)
