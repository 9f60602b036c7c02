"""What an e-graph holds, by e-node and by class, and how it is read.

An e-node gets a permanent id when it is made; a class id is the id of one of its e-nodes. Inside,
an e-node is a flat tuple `(head, child, …)`, where a head is an interned (op, attributes, type):
hashing and comparing e-nodes then touches small integers only.
"""

from collections.abc import Iterator
from typing import Any

from saturax.egraph.analysis import Analysis, ENode, InternedData
from saturax.egraph.heads import Heads, groups_of
from saturax.egraph.proof import ProofForest

Key = tuple[int, ...]

ANALYSIS = "analysis"
INPUT = "input"


class Store:
    """The e-nodes, classes and data of an e-graph; `EGraph` makes them grow."""

    def __init__(self, analysis: Analysis | None, heads: Heads) -> None:
        """Start empty."""
        self.heads = heads
        self._interned = None if analysis is None else InternedData(analysis)
        # By e-node.
        self.keys: list[Key] = []
        self.original: list[Key] = []
        # When (by `clock`) it was made, last got another key, last learnt of its operands, and last
        # came into another class; then the latest of these.
        self.created: list[int] = []
        self.keyed: list[int] = []
        self.informed: list[int] = []
        self.placed: list[int] = []
        self.stamp: list[int] = []
        self.type_id: list[int] = []
        self.parent: list[int] = []
        self.proof = ProofForest()
        self._origin: list[str] = []
        self.is_dead = bytearray()
        # By class (valid at canonical ids); its e-nodes by group and by kind.
        self.groups: list[dict[int, list[int]]] = []
        self.uses: list[list[int]] = []
        self._size: list[int] = []
        self.data_id: list[int] = []
        self._hashcons: dict[Key, int] = {}
        self.clock = 0
        self.node_count = self.class_count = self.union_count = 0

    def find(self, id: int) -> int:
        """Return the canonical id of the class that holds this class or e-node."""
        parent = self.parent
        while parent[id] != id:
            parent[id] = parent[parent[id]]
            id = parent[id]
        return id

    def _canonical(self, key: Key) -> Key:
        head = key[0]
        find = self.find
        if self.heads.commutative[head]:
            a, b = find(key[1]), find(key[2])
            return (head, min(a, b), max(a, b), *map(find, key[3:]))
        return (head, *map(find, key[1:]))

    def node(self, id: int) -> ENode:
        """Return an e-node by its permanent id, with canonical children."""
        head, *children = self._canonical(self.keys[id])
        return ENode(self.heads.op[head], self.heads.attributes[head], tuple(children), id)

    def nodes(self, class_id: int) -> list[ENode]:
        """Return the e-nodes of a class."""
        groups = self.groups[self.find(class_id)].items()
        return [self.node(n) for g, nodes in groups if g >= 0 for n in nodes if not self.is_dead[n]]

    def nodes_of(self, class_id: int, op: str) -> list[ENode]:
        """Return the e-nodes of one operation in a class."""
        groups = self.groups[self.find(class_id)]
        return [
            self.node(node)
            for group in groups_of(op)
            for node in groups.get(group, ())
            if not self.is_dead[node]
        ]

    def classes(self) -> Iterator[int]:
        """Iterate over canonical class ids in ascending order."""
        return (id for id, parent in enumerate(self.parent) if id == parent)

    def classes_of(self, op: str) -> list[int]:
        """Return the classes which hold an e-node of this operation."""
        return [id for id in self.classes() if self.nodes_of(id, op)]

    def parents(self, class_id: int) -> list[int]:
        """Return the permanent ids of the e-nodes which use a class."""
        return [node for node in self.uses[self.find(class_id)] if not self.is_dead[node]]

    def type_of(self, class_id: int) -> Any:
        """Return the type which all e-nodes of a class share."""
        return self.heads.types[self.type_id[class_id]]

    def data(self, class_id: int) -> Any:
        """Return the analysis data of a class; None without an analysis."""
        return self.data_named(self.data_id[self.find(class_id)])

    def data_named(self, id: int) -> Any:
        """Return the data that a number in `data_id` stands for; None without an analysis."""
        return None if self._interned is None else self._interned.values[id]

    def outline_named(self, id: int) -> int:
        """Return a number for the outline of the data that a number in `data_id` stands for."""
        return id if self._interned is None else self._interned.outlines[id]

    def origin(self, id: int) -> str:
        """Return who made an e-node first: a rule's name, "input" or "analysis"."""
        return self._origin[id]

    def live_nodes(self) -> list[int]:
        """Return the permanent ids of all e-nodes."""
        return [node for node, is_dead in enumerate(self.is_dead) if not is_dead]
