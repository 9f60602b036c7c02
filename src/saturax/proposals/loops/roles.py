"""What each carry of a loop is: invariant, counter, accumulator, written slices, or a recurrence.

Where a carry has a closed form, its cycle through the body is cut, and what it depends on is said
instead; what is left in cycles has to stay a loop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from saturax.graph.components import strong_components
from saturax.graph.ir import Graph
from saturax.graph.ops import identity_value
from saturax.graph.ops.reduction import REDUCERS
from saturax.graph.types import TensorType, is_complex, is_float
from saturax.proposals.loops.inner import runs_equally_often
from saturax.proposals.loops.linear import System, has_steps, system_of
from saturax.proposals.loops.structure import WHILE, Loop, parameters_of
from saturax.proposals.loops.vectorise import can_apply, is_same_in_every_bit
from saturax.proposals.loops.windows import Progression, progression


@dataclass(frozen=True)
class Term:
    """A node that is combined into an accumulator, or its negative."""

    node: int
    is_negative: bool = False


@dataclass(frozen=True)
class Accumulation:
    """c ← f(… f(c, term) …, term): what is carried is combined with terms that do not need it.

    `is_prefix`: its values on the way are used as well.
    """

    f: str
    terms: tuple[Term, ...]
    is_prefix: bool


@dataclass(frozen=True, eq=False)
class Linear:
    """A carry of a linear system. `is_prefix`: its values on the way are used as well."""

    system: System
    is_prefix: bool


@dataclass(frozen=True)
class Update:
    """c ← c with the value `window` written at places that are known, each of them once.

    c is only written or, with `reads_own`, read where it is written: what it began with is there.
    """

    window: int
    path: Progression
    sizes: tuple[int, ...]
    reads_own: bool = False


@dataclass(frozen=True)
class Delay:
    """The value of a node in the iteration before."""


@dataclass(frozen=True)
class Recurrence:
    """A carry without a closed form."""


Role = Accumulation | Linear | Update | Delay | Recurrence


@dataclass(frozen=True)
class Roles:
    """Roles of carries, and the body's dependences with the cycles of solved carries cut.

    `depends[i]` are the nodes that node i of the body needs, through carries also those of the
    iteration before. Nodes in `core` are in a cycle, or cannot be applied to all iterations at
    once. `varying` are the nodes that are not the same in every iteration. `live` is what results
    need, `order` is an order of all nodes in which dependences come first, cycles apart.
    """

    loop: Loop
    of: Mapping[int, Role]
    depends: tuple[tuple[int, ...], ...]
    core: frozenset[int]
    varying: frozenset[int]
    live: frozenset[int]
    order: tuple[int, ...]

    def is_read(self, carry: int) -> bool:
        """Whether a carry has to be carried: for a result, or for what a result needs."""
        if carry in self.loop.results or isinstance(self.of[carry], Accumulation | Linear):
            return True
        if self.loop.trip_count is None and carry in parameters_of(self.loop.condition):
            return True
        return any(self.loop.parameter(i) == carry for i in self.live)


def find_roles(loop: Loop, is_bitwise: bool) -> Roles:
    """The roles of all carries that are neither invariant nor counters.

    With `is_bitwise`, only closed forms with the same bits are found. Linear systems are solved,
    and windows read before they are written, where that leaves nothing of the loop.
    """
    solved = _find_roles(loop, is_bitwise, leaves_nothing=True)
    if solved.core and any(map(_leaves_nothing, solved.of.values())):
        return _find_roles(loop, is_bitwise, leaves_nothing=False)
    return solved


def _leaves_nothing(role: Role) -> bool:
    """Whether a role is for loops of which nothing is left."""
    return isinstance(role, Linear) or (isinstance(role, Update) and role.reads_own)


def _find_roles(loop: Loop, is_bitwise: bool, leaves_nothing: bool) -> Roles:
    body = loop.body
    places = {loop.parameter(i): i for i in range(len(body.nodes))}
    carried = [k for k in range(loop.carries) if k not in loop.invariant and k not in loop.counters]
    depends = [node.operands for node in body.nodes]
    for k in carried:
        if k in places:
            depends[places[k]] = (body.outputs[k],)
    components = _components(depends)
    roles: dict[int, Role] = {}
    finder = _Finder(loop, is_bitwise, leaves_nothing)
    for k in carried:
        cycle = components.get(places[k], frozenset()) if k in places else frozenset()
        carriers = [j for j in carried if places.get(j) in cycle]
        roles[k] = (
            finder.role(k, places[k], cycle)
            if carriers == [k]
            else (finder.linear(carriers, cycle) or Recurrence() if cycle else Delay())
        )
        _cut(roles[k], body, k, depends, places.get(k))
    varying = _closure_up(depends, _sources(loop, places, roles))
    cyclic = {node for component in _components(depends).values() for node in component}
    stuck = {
        i
        for i, node in enumerate(body.nodes)
        if i in varying
        and _is_stuck(loop, i, varying, is_bitwise)
        and not _is_solved(roles, body, i)
    }
    if loop.trip_count is None:
        stuck |= varying
    used = set(loop.results)
    used |= parameters_of(loop.condition) if loop.trip_count is None else set()
    results = [body.outputs[k] for k in sorted(used) if k in roles]
    live = _closure_down(depends, results)
    order = _ordered(depends)
    return Roles(
        loop,
        roles,
        tuple(depends),
        frozenset(cyclic | stuck) & live,
        frozenset(varying),
        frozenset(live),
        order,
    )


def _is_stuck(loop: Loop, index: int, varying: Container[int], is_bitwise: bool) -> bool:
    node = loop.body.nodes[index]
    if node.op == "parameter":
        return False
    if node.op == WHILE and not runs_equally_often(node, [k in varying for k in node.operands]):
        return True
    return not can_apply(node) or (is_bitwise and not is_same_in_every_bit(node))


def _is_solved(roles: Mapping[int, Role], body: Graph, index: int) -> bool:
    return any(
        body.outputs[k] == index and isinstance(role, Accumulation | Linear | Update)
        for k, role in roles.items()
    )


def _sources(loop: Loop, places: Mapping[int | None, int], roles: Mapping[int, Role]) -> set[int]:
    """Nodes that vary from iteration to iteration by themselves: carries, and sums so far."""
    parameters = {places[k] for k in (*roles, *loop.counters) if k in places}
    solved = Accumulation | Linear
    sums = {loop.body.outputs[k] for k, role in roles.items() if isinstance(role, solved)}
    return parameters | sums


def _cut(
    role: Role, body: Graph, carry: int, depends: list[tuple[int, ...]], place: int | None
) -> None:
    """Replace a solved carry's cycle by what its closed form needs."""
    if isinstance(role, Accumulation):
        depends[body.outputs[carry]] = tuple(term.node for term in role.terms)
    elif isinstance(role, Linear):
        depends[body.outputs[carry]] = role.system.terms
    elif isinstance(role, Update):
        depends[body.outputs[carry]] = (role.window,)
    if isinstance(role, Update) and place is not None:
        depends[place] = ()


class _Finder:
    """Looks for closed forms of single carries."""

    def __init__(self, loop: Loop, is_bitwise: bool, leaves_nothing: bool) -> None:
        self._loop = loop
        self._is_bitwise = is_bitwise
        self._solves_systems = leaves_nothing and not is_bitwise
        self._reads_own = leaves_nothing
        self._uses = loop.body.uses()

    def role(self, carry: int, place: int, cycle: frozenset[int]) -> Role:
        """The role of a carry that is the only one in its cycle."""
        if self._loop.trip_count is None:
            return Recurrence()
        return (
            self._update(carry, place)
            or self._accumulation(carry, place, cycle)
            or self.linear([carry], cycle)
            or Recurrence()
        )

    def linear(self, carries: Sequence[int], cycle: frozenset[int]) -> Linear | None:
        """The role of the carries of a cycle if they are a linear system."""
        if not self._solves_systems or self._loop.trip_count is None:
            return None
        system = system_of(self._loop, carries, cycle)
        if system is None:
            return None
        body = self._loop.body
        is_used = any(
            i not in cycle and not cycle.isdisjoint(node.operands)
            for i, node in enumerate(body.nodes)
        )
        is_prefix = is_used or sum(i in cycle for i in body.outputs) > len(carries)
        return Linear(system, is_prefix) if not is_prefix or has_steps(system) else None

    def _update(self, carry: int, place: int) -> Update | None:
        body, out = self._loop.body, self._loop.body.outputs[carry]
        node = body.nodes[out]
        if node.op != "dynamic_update_slice" or node.operands[0] != place or self._uses[out] != 1:
            return None
        window = body.nodes[node.operands[1]].type
        assert isinstance(window, TensorType)
        path = self._path(node.operands[2:], window.shape, place)
        if path is None or (
            path.dimension is not None and abs(path.step) != window.shape[path.dimension]
        ):
            return None
        readers = [i for i, other in enumerate(body.nodes) if i != out and place in other.operands]
        reads_own = self._reads_own and path.dimension is not None
        if self._uses[place] != 1 + len(readers) or (readers and not reads_own):
            return None
        if not all(self._is_read_at(i, place, path, window.shape) for i in readers):
            return None
        return Update(node.operands[1], path, window.shape, bool(readers))

    def _path(self, indices: Sequence[int], sizes: Sequence[int], place: int) -> Progression | None:
        """How windows of a carry at these indices proceed."""
        whole = self._loop.body.nodes[place].type
        assert isinstance(whole, TensorType)
        return progression([self._loop.tables.get(i) for i in indices], sizes, whole.shape)

    def _is_read_at(self, index: int, place: int, path: Progression, sizes: Sequence[int]) -> bool:
        """Whether a node reads the windows of a carry that lie on a path."""
        node = self._loop.body.nodes[index]
        if node.op != "dynamic_slice" or tuple(node.attributes[0]) != tuple(sizes):  # type: ignore[arg-type]
            return False
        return self._path(node.operands[1:], sizes, place) == path

    def _accumulation(self, carry: int, place: int, cycle: frozenset[int]) -> Accumulation | None:
        nodes, out = self._loop.body.nodes, self._loop.body.outputs[carry]
        name = nodes[out].attributes[0] if nodes[out].op == "binary" else None
        f = "add" if name == "subtract" else name
        type = nodes[out].type
        if f not in REDUCERS or not isinstance(type, TensorType):
            return None
        assert isinstance(f, str)
        terms: list[Term] = []
        chain = [out]
        while chain[-1] != place:
            found = _link(self._loop.body, chain[-1], f, cycle)
            if found is None:
                return None
            further, term = found
            terms.append(term)
            chain.append(further)
        inner_uses = [self._uses[i] for i in chain[1:-1]]
        if set(chain) != cycle or any(uses != 1 for uses in inner_uses):
            return None
        if identity_value(f, type.dtype) is None or not self._is_allowed(f, type.dtype):
            return None
        is_prefix = self._uses[place] != 1 or self._uses[out] != 1
        return Accumulation(f, tuple(terms), is_prefix)

    def _is_allowed(self, f: str, dtype: str) -> bool:
        is_rounded = f in ("add", "multiply") and (is_float(dtype) or is_complex(dtype))
        return not (self._is_bitwise and is_rounded)


def _link(body: Graph, index: int, f: str, cycle: frozenset[int]) -> tuple[int, Term] | None:
    """One step down a chain of f: the rest of the chain, and the term that is combined with it."""
    node = body.nodes[index]
    if node.op != "binary" or node.attributes[0] not in (f, "subtract" if f == "add" else f):
        return None
    x, y = node.operands
    if x in cycle and y not in cycle:
        return x, Term(y, node.attributes[0] == "subtract")
    if y in cycle and x not in cycle and node.attributes[0] == f:
        return y, Term(x)
    return None


# ------------------------------------------------------------------ graphs of dependences


def _components(depends: Sequence[Sequence[int]]) -> dict[int, frozenset[int]]:
    """For each node in a cycle, the nodes that depend on one another with it."""
    members: dict[int, list[int]] = defaultdict(list)
    for node, label in enumerate(strong_components(depends)):
        members[label].append(node)
    found: dict[int, frozenset[int]] = {}
    for group in members.values():
        if len(group) > 1 or group[0] in depends[group[0]]:
            found.update(dict.fromkeys(group, frozenset(group)))
    return found


def _closure_down(depends: Sequence[Sequence[int]], roots: Iterable[int]) -> set[int]:
    """What the roots need, themselves included."""
    found: set[int] = set()
    pending = list(roots)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(depends[node])
    return found


def _closure_up(depends: Sequence[Sequence[int]], roots: Iterable[int]) -> set[int]:
    """What needs any of the roots, themselves included."""
    users: dict[int, list[int]] = defaultdict(list)
    for node, needed in enumerate(depends):
        for operand in needed:
            users[operand].append(node)
    found: set[int] = set()
    pending = list(roots)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(users[node])
    return found


def needed_by(depends: Sequence[Sequence[int]], roots: Iterable[int]) -> frozenset[int]:
    """What the roots need, themselves included."""
    return frozenset(_closure_down(depends, roots))


def needing(depends: Sequence[Sequence[int]], roots: Iterable[int]) -> frozenset[int]:
    """What needs any of the roots, themselves included."""
    return frozenset(_closure_up(depends, roots))


def _ordered(depends: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """All nodes, dependences first; within a cycle in any order."""
    done: dict[int, None] = {}
    for root in range(len(depends)):
        stack = [(root, False)]
        opened: set[int] = set()
        while stack:
            node, is_ready = stack.pop()
            if is_ready:
                done[node] = None
            elif node not in done and node not in opened:
                opened.add(node)
                stack.append((node, True))
                stack.extend((operand, False) for operand in reversed(depends[node]))
    return tuple(done)
