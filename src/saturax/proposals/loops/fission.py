"""Loops cut in three: work for all iterations at once, what has to be a loop, and work after it.

    for t:  h ← f(h, g(xₜ));  y ← k(h)    =    G = g(x);  for t: h ← f(h, Gₜ), Hₜ ← h;  y = k(H)

Carries with a closed form (sums, products, extrema, written slices) become that; what does not
change is computed once; a loop of which nothing is left is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce as fold

import numpy as np

from saturax.graph.build import Value, building, make
from saturax.graph.ops import (
    ReduceWindow,
    add,
    binary,
    concatenate,
    identity_value,
    multiply,
    reduce_,
    reduce_window,
    reshape,
    slice_dimension,
    subtract,
)
from saturax.proposals.equality import Equalities
from saturax.proposals.loops.batched import Batched, constant_of, row, stacked
from saturax.proposals.loops.contractions import Totals, multiples, weighted_sum
from saturax.proposals.loops.joined import with_split_products
from saturax.proposals.loops.linear import Array, System
from saturax.proposals.loops.plans import Plan, plans_of
from saturax.proposals.loops.region import LoopBuilder
from saturax.proposals.loops.roles import Accumulation, Linear, Roles, Update, find_roles
from saturax.proposals.loops.structure import loops_of
from saturax.proposals.loops.vectorise import apply_to_all
from saturax.proposals.loops.windows import write_moving_windows
from saturax.proposals.masks import splat_of_node
from saturax.rules.rule import ROUNDING


def distribute_loops(equalities: Equalities) -> None:
    """Propose each loop with work moved before and after it, in every way that is worth a try."""
    for loop in loops_of(equalities.graph):
        if loop.trip_count == 0:
            for carry, places in loop.results.items():
                for place in places:
                    equalities.equate(place, equalities.value(loop.initial[carry]))
            continue
        is_bitwise = equalities.numerics < ROUNDING
        roles = find_roles(loop, is_bitwise)
        _distribute(equalities, roles)
        split = None if is_bitwise else with_split_products(roles)
        if split is not None:
            _distribute(equalities, find_roles(split, is_bitwise))


def _distribute(equalities: Equalities, roles: Roles) -> None:
    for plan in plans_of(roles):
        with building(equalities.builder):
            Fission(equalities, roles, plan).propose()


class Fission:
    """One loop, distributed as a plan says."""

    def __init__(self, equalities: Equalities, roles: Roles, plan: Plan) -> None:
        self._equalities = equalities
        self._roles = roles
        self._loop = roles.loop
        self._plan = plan
        self._count = 1 if self._loop.trip_count is None else self._loop.trip_count
        # Iterations are stacked in the order in which the loop walks through its slices.
        self._is_reversed = _walks_backwards(roles)
        self._items: dict[int, Batched] = {}
        self._totals = Totals(self._loop.body.nodes, self.item, plan.inside, self._count)
        self._finals: dict[int, Value] = {}

    def propose(self) -> None:
        """State the results of the distributed loop."""
        if self._plan.inside:
            self._run_inside()
        for carry, places in self._loop.results.items():
            final = self._final(carry)
            for place in places:
                self._equalities.equate(place, final)

    # -------------------------------------------------------------- all iterations at once

    def item(self, index: int) -> Batched:
        """A node of the body in all iterations."""
        if index not in self._items:
            missing = self._missing(index)
            for node in self._roles.order:
                if node in missing:
                    self._items[node] = self._made(node)
        return self._items[index]

    def _missing(self, index: int) -> set[int]:
        found: set[int] = set()
        pending = [index]
        while pending:
            node = pending.pop()
            if node not in found and node not in self._items:
                found.add(node)
                pending.extend(self._roles.depends[node])
        return found

    def _made(self, index: int) -> Batched:
        node = self._loop.body.nodes[index]
        number = self._loop.parameter(index)
        if number is not None:
            return self._parameter(number)
        for carry, role in self._roles.of.items():
            if self._loop.body.outputs[carry] == index and isinstance(role, Accumulation):
                return Batched(self._prefixes(carry, role)[1], True)
            if self._loop.body.outputs[carry] == index and isinstance(role, Linear):
                return Batched(self._steps(carry, role), True)
        operands = [self._items[operand] for operand in node.operands]
        return apply_to_all(self._equalities.builder, node, operands, self._count)

    def _parameter(self, number: int) -> Batched:
        """A carry or captured value as each iteration finds it."""
        loop = self._loop
        if number in loop.invariant:
            return Batched(self.outside(number), False)
        if number in loop.counters:
            values = loop.counters[number][: self._count]
            return Batched(constant_of(values[::-1] if self._is_reversed else values), True)
        role, out = self._roles.of[number], loop.body.outputs[number]
        if isinstance(role, Update):  # each window is read before it is written
            return Batched(self.outside(number), False)
        if isinstance(role, Accumulation) and out not in self._plan.inside:
            return Batched(self._prefixes(number, role)[0], True)
        if isinstance(role, Linear):
            after = Batched(self._steps(number, role), True)
            return Batched(self._delayed(self.outside(number), after), True)
        return Batched(self._delayed(self.outside(number), self._items[out]), True)

    def outside(self, number: int) -> Value:
        """The value around the loop that a parameter begins with."""
        places = (*self._loop.initial, *self._loop.captured)
        return self._equalities.value(places[number])

    def _with_first(self, first: Value, rows: Value) -> Value:
        """Rows of iterations with one more before the first iteration."""
        begin = reshape(first, (1, *first.shape))
        front, back = (rows, begin) if self._is_reversed else (begin, rows)
        result: Value = concatenate(front, back, 0)
        return result

    def _but(self, rows: Value, *, first: bool) -> Value:
        """All rows but that of the first (or the last) iteration."""
        drops_front = first != self._is_reversed
        start, limit = (1, rows.shape[0]) if drops_front else (0, rows.shape[0] - 1)
        result: Value = slice_dimension(rows, 0, start, limit)
        return result

    def _last(self, rows: Value) -> Value:
        return row(rows, 0 if self._is_reversed else -1)

    def _delayed(self, first: Value, item: Batched) -> Value:
        """The value of the iteration before; `first` in the first iteration."""
        rows = stacked(item, self._count)
        if self._count == 1:
            result: Value = reshape(first, (1, *first.shape))
            return result
        return self._with_first(first, self._but(rows, first=False))

    def _prefixes(self, carry: int, role: Accumulation) -> tuple[Value, Value]:
        """An accumulator before and after each iteration."""
        terms = [
            (stacked(self._items[term.node], self._count), term.is_negative)
            for term in reversed(role.terms)
        ]
        rows, first = _combined(role.f, terms), self.outside(carry)
        if self._is_identity(role.f, carry):
            sums = self._cumulated(role.f, rows)
            return self._delayed(first, Batched(sums, True)), sums
        sums = self._cumulated(role.f, self._with_first(first, rows))
        return self._but(sums, first=False), self._but(sums, first=True)

    def _cumulated(self, f: str, rows: Value) -> Value:
        """All rows up to each one, combined by f."""
        n, ones, none = rows.shape[0], (1,) * rows.rank, ((0, 0),) * (rows.rank - 1)
        padding = (0, n - 1) if self._is_reversed else (n - 1, 0)
        window = ReduceWindow((n, *ones[1:]), ones, ones, ones, (padding, *none))
        result: Value = reduce_window(f, rows, window)
        return result

    def _is_identity(self, f: str, carry: int) -> bool:
        """Whether a carry begins with what f leaves as it is, which a sum begins with anyway."""
        literal = splat_of_node(self._equalities.graph, self._loop.initial[carry])
        if literal is None:
            return False
        identity = identity_value(f, literal.type.dtype)
        return identity is not None and bool(literal.value == identity)

    def _steps(self, carry: int, role: Linear) -> Value:
        """The values of a carry of a linear system after each iteration."""
        system = role.system
        place = system.carries.index(carry)
        first, weights = (x[:, ..., place, :] for x in system.steps())
        if self._is_reversed:
            first, weights = first[::-1], weights[::-1, ::-1]
        return self._weighted(system, first, weights)

    def _solved(self, carry: int, role: Linear) -> Value:
        """The value of a carry of a linear system after the last iteration."""
        system = role.system
        place = system.carries.index(carry)
        first, weights = (x[..., place, :] for x in system.weights())
        return self._weighted(system, first, weights[::-1] if self._is_reversed else weights)

    def _weighted(self, system: System, first: Array, weights: Array) -> Value:
        """The sum of first values and of all iterations' terms, with weights along the last axis:
        [j] and [t, i] of one such sum, [s, j] and [s, t, i] of several, which are stacked.
        """
        parts = [(first[..., j], self.outside(k)) for j, k in enumerate(system.carries)]
        summed = weights.sum(-2)
        sums: list[Value] = []
        for i, node in enumerate(system.terms):
            item = self.item(node)
            if item.varies:
                sums.append(weighted_sum(weights[..., i], item.value))
            else:
                parts.append((summed[..., i], item.value))
        sums += [multiples(numbers, value) for numbers, value in parts if numbers.any()]
        zero = multiples(np.zeros_like(first[..., 0]), self.outside(system.carries[0]))
        result: Value = fold(add, sums) if sums else zero
        return result

    # -------------------------------------------------------------- the loop that is left

    def _run_inside(self) -> None:
        loop, inside = self._loop, self._plan.inside
        kept = self._roles.live if loop.trip_count is None else inside
        carries = [
            k for k in self._roles.of if loop.body.outputs[k] in kept and self._roles.is_read(k)
        ]
        recorded = sorted(self._recorded())
        builder = LoopBuilder(self._roles, self._plan, self._is_reversed, self.item, self.outside)
        finals, records = builder.build(self._equalities.builder, carries, recorded)
        self._finals.update(zip(carries, finals, strict=True))
        self._items.update(
            (node, Batched(value, True)) for node, value in zip(recorded, records, strict=True)
        )

    def _recorded(self) -> Iterable[int]:
        """Nodes in the loop whose values in all iterations are needed after it."""
        loop, inside = self._loop, self._plan.inside
        found: set[int] = set()
        pending = [j for i in self._plan.after for j in self._roles.depends[i]]
        seen: set[int] = set()
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            number = loop.parameter(node)
            if number in self._roles.of and number is not None:
                pending.append(loop.body.outputs[number])
            elif node in inside:
                found.add(node)
        return found

    # -------------------------------------------------------------- results

    def _final(self, carry: int) -> Value:
        """The value of a carry after the last iteration."""
        loop = self._loop
        if carry in loop.counters:
            return constant_of(loop.counters[carry][self._count])
        if carry in loop.invariant:
            return self.outside(carry)
        if carry in self._finals:
            return self._finals[carry]
        role = self._roles.of[carry]
        if isinstance(role, Update):
            return self._written(carry, role)
        if isinstance(role, Accumulation):
            return self._accumulated(carry, role)
        if isinstance(role, Linear):
            return self._solved(carry, role)
        item = self.item(loop.body.outputs[carry])
        return self._last(item.value) if item.varies else item.value

    def _written(self, carry: int, role: Update) -> Value:
        path = role.path
        if self._is_reversed and path.dimension is not None:
            start = list(path.start)
            start[path.dimension] += (self._count - 1) * path.step
            path = path._replace(start=tuple(start), step=-path.step)
        windows = self.item(role.window)
        if path.dimension is None and windows.varies:
            windows = Batched(self._last(windows.value), False)
        result = write_moving_windows(self.outside(carry), windows, path, role.sizes, self._count)
        assert result is not None, "windows of an update that overlap"
        return result

    def _accumulated(self, carry: int, role: Accumulation) -> Value:
        first = self.outside(carry)
        if role.is_prefix and self._loop.body.outputs[carry] in self._items:
            return self._last(self._items[self._loop.body.outputs[carry]].value)
        if role.f == "add":
            totals = [(self._totals.of(term.node), term.is_negative) for term in role.terms]
            return _combined("add", [(first, False), *reversed(totals)])
        terms = [(self._over_all(role.f, term.node), False) for term in reversed(role.terms)]
        return _combined(role.f, [(first, False), *terms])

    def _over_all(self, f: str, index: int) -> Value:
        """A node combined over all iterations by any function but "add"."""
        item = self.item(index)
        if item.varies:
            result: Value = reduce_(f, item.value, (0,))
            return result
        return _power(item.value, self._count) if f == "multiply" else item.value


def _combined(f: str, terms: list[tuple[Value, bool]]) -> Value:
    """Terms combined by f from left to right; negative ones are subtracted."""
    (first, is_negative), *others = terms
    start: Value = make("unary", first, attributes=("negate",)) if is_negative else first

    def combine(left: Value, term: tuple[Value, bool]) -> Value:
        result: Value = subtract(left, term[0]) if term[1] else binary(f, left, term[0])
        return result

    return fold(combine, others, start)


def _power(x: Value, exponent: int) -> Value:
    """x multiplied with itself, by squaring."""
    result: Value | None = None
    square = x
    while True:
        if exponent & 1:
            result = square if result is None else multiply(result, square)
        exponent >>= 1
        if not exponent:
            assert result is not None, "a loop without iterations"
            return result
        square = multiply(square, square)


def _walks_backwards(roles: Roles) -> bool:
    """Whether most slices that the loop reads and writes come in descending order."""
    loop = roles.loop
    votes = 0
    for node in loop.body.nodes:
        skipped = {"dynamic_slice": 1, "dynamic_update_slice": 2}.get(node.op)
        for index in node.operands[skipped:] if skipped else ():
            table = loop.tables.get(index)
            if table is not None and table.size > 1:
                votes += int(np.sign(int(table.flat[-1]) - int(table.flat[0])))
    return votes < 0
