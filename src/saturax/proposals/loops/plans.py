"""Which part of a loop's body to compute before the loop, and which after it, all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from saturax.graph.ir import Node
from saturax.graph.operation import TABLE
from saturax.proposals.loops.batched import byte_count
from saturax.proposals.loops.contractions import is_linear
from saturax.proposals.loops.cut import cheapest_cut
from saturax.proposals.loops.inner import bytes_of_all
from saturax.proposals.loops.roles import Accumulation, Roles, Update, needed_by, needing
from saturax.proposals.loops.structure import WHILE

# One value that crosses the boundary costs about this much beside its bytes.
_CROSSING_BYTES = 64
_LARGEST_STACKED_BYTES = 512 << 20
_CHEAP_WHERE_USED = frozenset({"broadcast_in_dim", "reshape", "constant", "iota"})


@dataclass(frozen=True)
class Plan:
    """Nodes of the body computed for all iterations `before` the loop and `after` it.

    `inside` stay in the loop, with what they need and is in none of the three sets.
    """

    before: frozenset[int]
    inside: frozenset[int]
    after: frozenset[int]


def plans_of(roles: Roles) -> tuple[Plan, ...]:
    """The plans worth a try: everything moved out that can be, and heavy work on either side.

    A plan that changes nothing is not among them.
    """
    core = roles.core
    inside = core | (needing(roles.depends, core) & needed_by(roles.depends, core) & roles.live)
    inside |= _results_of(roles, inside)
    if roles.loop.trip_count is None and not inside:
        return ()
    later = (needing(roles.depends, core) & roles.live) - inside
    earlier = roles.live - inside - later
    sides = _Sides(roles, inside, earlier, later)
    found: dict[Plan, None] = {}
    for plan in sides.plans():
        if sides.stacked_bytes(plan) <= _LARGEST_STACKED_BYTES and not sides.is_idle(plan):
            found[plan] = None
    return tuple(found)


def _results_of(roles: Roles, nodes: frozenset[int]) -> frozenset[int]:
    """The single results of those of the nodes that have several: only tensors are stacked."""
    body = roles.loop.body.nodes
    return frozenset(
        i for i in roles.live if body[i].op == "get_result" and body[i].operands[0] in nodes
    )


@dataclass(frozen=True)
class _Sides:
    """Nodes that must stay `inside`, could come `earlier`, could come `later`."""

    roles: Roles
    inside: frozenset[int]
    earlier: frozenset[int]
    later: frozenset[int]

    def plans(self) -> Iterator[Plan]:
        varying = self.earlier & self.roles.varying
        everything = frozenset(i for i in varying if not is_free(self.roles, i))
        yield Plan(everything, self.inside, self.later)
        if not self.inside:
            return
        heavy_earlier = frozenset(i for i in everything if self._is_heavy_and_varies(i))
        heavy_later = frozenset(i for i in self.later if self._is_heavy_and_varies(i))
        before = self._before(everything, heavy_earlier)
        for chosen in (before, frozenset[int]()):
            for heavy in (heavy_later, frozenset[int]()):
                after = self._after(heavy)
                yield Plan(chosen, self.inside | (self.later - after), after)

    def _before(self, possible: frozenset[int], heavy: frozenset[int]) -> frozenset[int]:
        """The nodes before the loop when `heavy` ones are, such that little is stacked."""
        if not heavy:
            return frozenset()
        used = {j for i in self.inside | self.later for j in self.roles.depends[i]} & possible
        gate = len(self.roles.depends)  # stands for the loop, which needs all of `used`
        depends = [*self.roles.depends, tuple(used)]
        weights = {i: self._bytes(i) for i in possible} | {gate: 1}
        cut = cheapest_cut(
            sorted((*possible, gate)), depends, weights, heavy, (gate,), prefers_first=True
        )
        return cut | _results_of(self.roles, cut)

    def _after(self, heavy: frozenset[int]) -> frozenset[int]:
        """The nodes after the loop when `heavy` ones are, such that little is stacked."""
        written = {
            self.roles.loop.body.outputs[k]
            for k, role in self.roles.of.items()
            if isinstance(role, Update)
        }
        last = heavy | (written & self.later)
        if not last:
            return frozenset()
        needed = {j for i in self.later for j in self.roles.depends[i]} & self.inside
        nodes = sorted(self.later | needed)
        weights = {i: self._bytes(i) for i in nodes}
        kept = cheapest_cut(nodes, self.roles.depends, weights, needed, last, prefers_first=False)
        return self.later - kept - _results_of(self.roles, kept)

    def _is_heavy_and_varies(self, index: int) -> bool:
        return index in self.roles.varying and is_heavy(self.roles.loop.body.nodes[index])

    def _bytes(self, index: int) -> int:
        return byte_count(self.roles.loop.body.nodes[index].type) + _CROSSING_BYTES

    def stacked_bytes(self, plan: Plan) -> int:
        """Bytes of everything that a plan computes for all iterations, at most."""
        body = self.roles.loop.body
        varying = (plan.before | plan.after) & self.roles.varying
        stacked = varying - _only_summed(self.roles) - set(body.outputs)
        single = sum(self._stacked_bytes_of(i) for i in stacked if not is_free(self.roles, i))
        return (self.roles.loop.trip_count or 1) * single

    def _stacked_bytes_of(self, index: int) -> int:
        """Bytes for one iteration of what a node computes for all; of a loop, within it as well."""
        node = self.roles.loop.body.nodes[index]
        if node.op == "get_result":
            return 0  # a part of what it is a result of, which is on the same side
        if node.op != WHILE:
            return byte_count(node.type)
        return bytes_of_all(node, [i in self.roles.varying for i in node.operands])

    def is_idle(self, plan: Plan) -> bool:
        """Whether a plan leaves the loop as it is."""
        roles, body = self.roles, self.roles.loop.body
        if not plan.inside or plan.before & roles.varying:
            return False
        if any(is_worth_hoisting(roles, i) for i in roles.live):
            return False
        written = {body.outputs[k] for k, role in roles.of.items() if isinstance(role, Update)}
        moves = {i for i in plan.after if body.nodes[i].op in ("broadcast_in_dim", "reshape")}
        if plan.after - written - moves:
            return False
        dead = {k for k in roles.of if k not in roles.loop.results} - {
            roles.loop.parameter(i) for i in roles.live
        }
        return not dead


def _only_summed(roles: Roles) -> frozenset[int]:
    """Nodes of which only the sum over all iterations is needed, which is computed as one."""
    body = roles.loop.body
    sums = {
        body.outputs[k]
        for k, role in roles.of.items()
        if isinstance(role, Accumulation) and role.f == "add" and not role.is_prefix
    }
    users: dict[int, set[int]] = defaultdict(set)
    for i in roles.live:
        for operand in roles.depends[i]:
            users[operand].add(i)
    found: set[int] = set()
    for i in reversed(roles.order):
        node = body.nodes[i]
        is_pushed = node.op == "dot_general" or is_linear(node)
        passes_on = {j for j in found if is_linear(body.nodes[j])}
        if is_pushed and users[i] and users[i] <= sums | passes_on:
            found.add(i)
    return frozenset(found)


def is_heavy(node: Node) -> bool:
    """Whether an operation is a kernel of its own."""
    row = TABLE.get(node.op)
    return (
        node.op != "get_result"
        and (row is None or row.kind == "heavy")
        and (node.op != "parameter")
    )


def is_free(roles: Roles, index: int) -> bool:
    """Whether a node costs nothing inside the loop and nothing before it.

    Leaves, what depends on counters only, and slices at counters of what does not vary.
    """
    node, loop = roles.loop.body.nodes[index], roles.loop
    if not node.operands or index in loop.tables:
        return True
    if node.op == "reshape":
        return is_free(roles, node.operands[0])
    if node.op != "dynamic_slice" or node.operands[0] in roles.varying:
        return False
    return all(i in loop.tables or i not in roles.varying for i in node.operands[1:])


def is_worth_hoisting(roles: Roles, index: int) -> bool:
    """Whether a node that does not vary is computed once: not if it is cheap where it is used."""
    node = roles.loop.body.nodes[index]
    if index in roles.varying or index in roles.loop.tables or not node.operands:
        return False
    return node.op not in (*_CHEAP_WHERE_USED, "get_result")
