"""Interning: small integers for everything of an e-node but its children."""

import threading
from collections.abc import Callable
from typing import Any


class _Seeds:
    """Numbers of groups and kinds, the same for all e-graphs of a process.

    So what rules look for is numbered once, and not for each of the dozens of e-graphs that an
    optimisation makes.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._groups: dict[tuple[str, int, int], int] = {}
        self._groups_of_op: dict[str, list[int]] = {}
        self._kinds: dict[tuple[int, str | tuple[str]], int] = {}

    def group_index(self, op: str, arity: int, attribute_count: int) -> int:
        """Intern a group."""
        key = (op, arity, attribute_count)
        index = self._groups.get(key)
        if index is None:
            with self._lock:
                index = self._groups.setdefault(key, len(self._groups))
                groups = self._groups_of_op.setdefault(op, [])
                if index not in groups:
                    groups.append(index)
        return index

    def kind_index(self, op: str, arity: int, attribute_count: int, first: Any) -> int:
        """Intern a kind; `first` is the exact key or the form of the first attribute, if any."""
        group = self.group_index(op, arity, attribute_count)
        if isinstance(first, tuple) and first and isinstance(first[0], str):
            name: str | tuple[str] = (first[0],)
        elif isinstance(first, str):
            name = first
        else:
            return group
        index = self._kinds.get((group, name))
        if index is None:
            with self._lock:
                index = self._kinds.setdefault((group, name), -1 - len(self._kinds))
        return index

    def groups_of(self, op: str) -> list[int]:
        """Return the groups of an operation, one per arity and number of attributes."""
        return self._groups_of_op.get(op, [])


_SEEDS = _Seeds()
group_index, kind_index, groups_of = _SEEDS.group_index, _SEEDS.kind_index, _SEEDS.groups_of


class Heads:
    """Interned heads (op, attributes, arity, type), types, groups and kinds.

    A group is what has the same operation, arity and number of attributes. A kind is finer where
    the first attribute names a function, such as an addition among the binary operations. Groups
    and kinds are numbered apart: kinds are negative. Where no function is named, the group is the
    kind.

    Public lists are indexed by head, but `types` by type id; compiled matchers read them.
    """

    def __init__(
        self,
        is_commutative: Callable[[str, tuple[Any, ...]], bool],
        is_injective: Callable[[str, Any], bool],
        outdone_by: Callable[[str, tuple[Any, ...]], frozenset[str]],
    ) -> None:
        """Start empty; `is_commutative` is asked once per head of two or more operands."""
        self._is_commutative = is_commutative
        self._is_injective = is_injective
        self._outdone_by = outdone_by
        self._indices: dict[Any, int] = {}
        self.op: list[str] = []
        self.attributes: list[tuple[Any, ...]] = []
        self.exact: list[tuple[Any, ...]] = []
        self.type_id: list[int] = []
        self.group: list[int] = []
        self.kind: list[int] = []
        self.commutative: list[bool] = []
        self.injective: list[bool] = []
        # What is pointless beside an e-node of a head, and the groups of heads that have such.
        self.outdone: list[frozenset[str]] = []
        self.outdoing: set[int] = set()
        self._type_ids: dict[Any, int] = {}
        self.types: list[Any] = []

    def index(self, op: str, attributes: tuple[Any, ...], arity: int, type: Any) -> int:
        """Intern a head."""
        exact = exact_key(attributes)
        type_id = self._type_index(type)
        index = self._indices.get((op, exact, arity, type_id))
        if index is None:
            index = self._indices[op, exact, arity, type_id] = len(self.op)
            self.op.append(op)
            self.attributes.append(attributes)
            self.exact.append(exact)
            self.type_id.append(type_id)
            self.group.append(group_index(op, arity, len(attributes)))
            first = exact[0] if exact else None
            self.kind.append(kind_index(op, arity, len(attributes), first))
            self.commutative.append(arity >= 2 and self._is_commutative(op, attributes))
            self.injective.append(arity >= 1 and self._is_injective(op, type))
            self.outdone.append(self._outdone_by(op, attributes))
            if self.outdone[index]:
                self.outdoing.add(self.group[index])
        return index

    def type_of(self, head: int) -> Any:
        """Return the type of a head."""
        return self.types[self.type_id[head]]

    def _type_index(self, type: Any) -> int:
        index = self._type_ids.get(type)
        if index is None:
            index = self._type_ids[type] = len(self.types)
            self.types.append(type)
        return index


def exact_key(value: Any) -> Any:
    """Map an attribute to a key that keeps apart what `==` does not.

    >>> exact_key((1, 0.0)) == exact_key((True, -0.0)), (1, 0.0) == (True, -0.0)
    (False, True)
    """
    if isinstance(value, tuple):
        return tuple([exact_key(item) for item in value])
    if isinstance(value, bool):
        return ("bool", str(value))
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, complex):
        return ("complex", value.real.hex(), value.imag.hex())
    return value
